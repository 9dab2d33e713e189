#!/usr/bin/env python3
"""Reference generator of the tasks ptr, phop, vars and perm (own work, CC0).

usage: multihop_reference.py TASK SEED COUNT [K]      one item a line: prompt TAB answer TAB options TAB k
       multihop_reference.py --checksums              the CRC-32 table of tests/unit/test_data_items.c

The program's tasks print the same bytes. Numbers come from splitmix64; a draw below n is the high
half of the 128-bit product of a number and n, without rejection."""
import sys
import zlib

MASK = (1 << 64) - 1
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER = UPPER.lower()


class Stream:
    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return (self.next() * n) >> 64

    def shuffle(self, values):
        """Fisher-Yates, from the high end down."""
        for i in range(len(values) - 1, 0, -1):
            j = self.below(i + 1)
            values[i], values[j] = values[j], values[i]


def item_stream(task, seed, index):
    """One stream per item: any item can be made without the ones before it."""
    name_hash = 0
    for letter in task:
        name_hash = (name_hash * 31 + ord(letter)) & MASK
    stream = Stream(name_hash ^ (seed * 0xD1342543DE82EF95 & MASK) ^ (index * 0x2545F4914F6CDD1D & MASK))
    stream.next()
    return stream


def draw_options(r, answer, others):
    r.shuffle(others)
    options = [answer] + others[:3]
    r.shuffle(options)
    return options


def ptr(r, k, n=16, k_max=8):
    """Pointer chasing on one cycle of n letters: 'AQ CF ...|3A=X'."""
    names = list(UPPER)
    r.shuffle(names)
    names = names[:n]
    successor = list(range(n))
    for i in range(n - 1, 0, -1):  # Sattolo: a single cycle, so that 1 ... n-1 hops all differ
        j = r.below(i)
        successor[i], successor[j] = successor[j], successor[i]
    pairs = [names[i] + names[successor[i]] for i in range(n)]
    r.shuffle(pairs)
    start = r.below(n)
    k = k or 1 + r.below(k_max)
    orbit = [start]
    for _ in range(n - 1):
        orbit.append(successor[orbit[-1]])
    answer = names[orbit[k]]
    # Distractors: one hop short, one too far, then others of the cycle.
    wrong = [names[orbit[j]] for j in (k - 1, k + 1) if 0 < j < n]
    while len(wrong) < 3:
        drawn = names[orbit[1 + r.below(n - 1)]]
        if drawn != answer and drawn not in wrong:
            wrong.append(drawn)
    options = [answer] + wrong[:3]
    r.shuffle(options)
    return " ".join(pairs) + "|%d%s=" % (k, names[start]), answer, options, k


def phop(r, k, n=64, n_letters=8, k_max=8):
    """p-hop induction (Sanford et al. 2024): the k-th hop from the last place of a string."""
    drawn_k, place = k, -1
    while place < 0:
        s = [r.below(n_letters)]
        while len(s) < n:
            letter = r.below(n_letters - 1)
            s.append(letter if letter < s[-1] else letter + 1)
        k = drawn_k or 1 + r.below(k_max)
        place = n - 1
        for _ in range(k):
            earlier = place - 1
            while earlier >= 0 and s[earlier] != s[place]:
                earlier -= 1
            if earlier < 0:
                place = -1
                break
            place = earlier + 1
    answer = LOWER[s[place]]
    options = draw_options(r, answer, [LOWER[i] for i in range(n_letters) if i != s[place]])
    return "%d:" % k + "".join(LOWER[c] for c in s) + "=", answer, options, k


def vars_(r, k, n=10, k_max=6, modulus=10):
    """Assignments in random order; the first k variables form a chain."""
    names = list(LOWER)
    r.shuffle(names)
    k = k or 1 + r.below(k_max)
    lines, value, depth = [], [0] * n, [0] * n
    for i in range(n):
        if i == 0 or (i > k and r.below(3) == 0):
            value[i], depth[i] = r.below(modulus), 1
            lines.append("%s=%d" % (names[i], value[i]))
        else:
            j = i - 1 if i <= k - 1 else r.below(i)
            minus = r.below(2)
            operand = 1 + r.below(modulus - 1)
            value[i] = (value[j] - operand if minus else value[j] + operand) % modulus
            depth[i] = depth[j] + 1
            lines.append("%s=%s%s%d" % (names[i], names[j], "+-"[minus], operand))
    r.shuffle(lines)
    answer = str(value[k - 1])
    options = draw_options(r, answer, [str(d) for d in range(modulus) if str(d) != answer])
    return ";".join(lines) + "?" + names[k - 1] + "=", answer, options, depth[k - 1]


def perm(r, k, n=5, k_max=8):
    """Swaps among n people: '12 35 41|2=' asks what person 2 holds."""
    k = k or 1 + r.below(k_max)
    held = list(range(n))
    swaps = []
    for _ in range(k):
        a, b = r.below(n), r.below(n - 1)
        b += b >= a
        held[a], held[b] = held[b], held[a]
        swaps.append("%d%d" % (a + 1, b + 1))
    asked = r.below(n)
    answer = UPPER[held[asked]]
    options = draw_options(r, answer, [UPPER[i] for i in range(n) if i != held[asked]])
    return " ".join(swaps) + "|%d=" % (asked + 1), answer, options, k


TASKS = {"ptr": ptr, "phop": phop, "vars": vars_, "perm": perm}


def lines_of(task, seed, count, k=0):
    for index in range(count):
        prompt, answer, options, hops = TASKS[task](item_stream(task, seed, index), k)
        yield "%s\t%s\t%s\t%d\n" % (prompt, answer, "".join(options), hops)


def print_checksums(count=300):
    for task in TASKS:
        farthest = 10 if task == "vars" else 12
        for seed, k in ((1, 0), (2, 0), (1001, 0), (1, 1), (7, 3), (2**63 + 5, 6), (1, farthest)):
            text = "".join(lines_of(task, seed, count, k))
            print("    {TASK_%s, %dU, %d, %d, 0x%08X}," % (task.upper(), seed, count, k, zlib.crc32(text.encode())))


if __name__ == "__main__":
    if sys.argv[1:] == ["--checksums"]:
        print_checksums()
    else:
        sys.stdout.writelines(lines_of(sys.argv[1], *map(int, sys.argv[2:])))
