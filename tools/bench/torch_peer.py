#!/usr/bin/env python3
"""The yardstick: the same transformer and residual kinds trained by PyTorch on the CPU, timed step by step.

Prints one JSON object: median step seconds, tokens/s, model GFLOP/s, peak resident MiB. Quote ratios only, from runs
turn by turn (see compare): absolute figures of a shared machine drift.

Three forms of the read over depth (--read), all the same function; README.md has their speed:
  stack  torch.stack of the sources at each read, as one would write it first
  list   nothing copied: inverse norms kept per source, a dot product and a multiply-add per source; autograd
  hand   as list, in place, with a hand-written backward that finishes a source's gradient once, not once per reader
--verify prints how far the forms are apart in loss and gradients, and times nothing.
"""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

EPS = 1e-8
WARM_UP_STEPS = 2


class StackReads:
    """The sources of a forward pass, copied together at each read."""

    def __init__(self):
        self.values = []

    def put(self, y):
        self.values.append(y)
        return len(self.values) - 1

    def read(self, w, ids):
        if len(ids) == 1:
            return self.values[ids[0]]
        v = torch.stack([self.values[i] for i in ids])
        scores = (F.rms_norm(v, v.shape[-1:], None, EPS) * w).sum(-1)
        a = torch.softmax(scores.float(), 0).to(v.dtype)
        return torch.einsum("nbt,nbtc->btc", a, v)


def inverse_rms(v):
    return torch.rsqrt(torch.linalg.vector_norm(v, dim=-1, dtype=torch.float32).square() / v.shape[-1] + EPS)


def score(v, r, w):
    """s = r (v . w), one number a token."""
    return torch.mv(v.flatten(0, -2), w.to(v.dtype)).view(v.shape[:-1]) * r


class ListReads(StackReads):
    """The inverse norm of each source is computed once; nothing is copied."""

    def __init__(self):
        super().__init__()
        self.inverse = []

    def put(self, y):
        self.inverse.append(inverse_rms(y))
        return super().put(y)

    def read(self, w, ids):
        if len(ids) == 1:
            return self.values[ids[0]]
        scores = torch.stack([score(self.values[i], self.inverse[i], w) for i in ids])
        a = torch.softmax(scores, 0).to(self.values[0].dtype).unsqueeze(-1)
        h = a[0] * self.values[ids[0]]
        for k, i in enumerate(ids[1:], 1):
            h = torch.addcmul(h, a[k], self.values[i])
        return h


class Source:
    """A source's value and what its readers leave for its gradient:

        dv = sum_l a_l dh_l + sum_l (ds_l r) w_l - (sum_l s_l ds_l r^2 / C) v

    The first sum grows reader by reader; the second becomes one matrix product and the third one multiply-add, when
    all readers are through."""

    def __init__(self, v):
        self.v = v
        self.r = inverse_rms(v)
        self.mixed = None  # first sum
        self.queries, self.pulls = [], []  # w_l and ds_l r
        self.shrink = 0.0

    def gather(self, a, dh, pull, w, shrink):
        weight = a.unsqueeze(-1)
        self.mixed = weight * dh if self.mixed is None else self.mixed.addcmul_(weight, dh)
        self.queries.append(w)
        self.pulls.append(pull.flatten())
        self.shrink = self.shrink + shrink

    def finish(self):
        dv = self.mixed.addcmul_(self.shrink.unsqueeze(-1), self.v, value=-1.0)
        dv.flatten(0, -2).addmm_(torch.stack(self.pulls, 1), torch.stack(self.queries))
        return dv


class PutSource(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, order, source):
        ctx.source = source
        return order.clone()

    @staticmethod
    def backward(ctx, dorder):
        return ctx.source.finish() if ctx.source.queries else None, dorder, None


class ReadSources(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, order, sources):
        s = torch.stack([score(x.v, x.r, w) for x in sources])
        a = torch.softmax(s, 0)
        h = a[0].unsqueeze(-1) * sources[0].v
        for k, x in enumerate(sources[1:], 1):
            h.addcmul_(a[k].unsqueeze(-1), x.v)
        ctx.save_for_backward(w, s, a, h)
        ctx.sources = sources
        return h, order.clone()

    @staticmethod
    def backward(ctx, dh, dorder):
        w, s, a, h = ctx.saved_tensors
        dh_column = dh.unsqueeze(-1)
        mean = torch.matmul(h.unsqueeze(-2), dh_column)[..., 0, 0]
        dw = torch.zeros_like(w)
        for k, x in enumerate(ctx.sources):
            along = torch.matmul(x.v.unsqueeze(-2), dh_column)[..., 0, 0]
            ds = a[k] * (along - mean)
            pull = ds * x.r
            dw.addmv_(x.v.flatten(0, -2).t(), pull.flatten())
            x.gather(a[k], dh, pull, w, s[k] * pull * x.r / len(w))
        return dw, dorder, None


class HandReads:
    """`order` is a number handed from call to call, so that autograd runs backwards in exactly the opposite order and
    a source's readers are all through before its own turn."""

    def __init__(self):
        self.values, self.sources = [], []
        self.order = torch.zeros((), requires_grad=True)

    def put(self, y):
        self.values.append(y)
        self.sources.append(Source(y.detach()))
        self.order = PutSource.apply(y, self.order, self.sources[-1])
        return len(self.values) - 1

    def read(self, w, ids):
        if len(ids) == 1:
            return self.values[ids[0]]
        h, self.order = ReadSources.apply(w, self.order, [self.sources[i] for i in ids])
        return h


READS = {"stack": StackReads, "list": ListReads, "hand": HandReads}


def matrix(rows, cols):
    return nn.Parameter(torch.randn(rows, cols) * 0.02)


class Peer(nn.Module):
    def __init__(self, options):
        super().__init__()
        C, FF, n = options.dim, options.ff, options.layers
        self.options = options
        self.embedding, self.head = nn.Embedding(options.vocab, C), matrix(options.vocab, C)
        self.gain = nn.ParameterList([nn.Parameter(torch.ones(C)) for _ in range(2 * n + 1)])
        self.query = nn.ParameterList([nn.Parameter(torch.zeros(C)) for _ in range(2 * n + 1)])
        self.qkv = nn.ParameterList([matrix(3 * C, C) for _ in range(n)])
        self.out = nn.ParameterList([matrix(C, C) for _ in range(n)])
        self.gate_up = nn.ParameterList([matrix(2 * FF, C) for _ in range(n)])
        self.down = nn.ParameterList([matrix(C, FF) for _ in range(n)])
        D = C // options.heads
        angle = torch.arange(options.seq)[:, None] * 10000.0 ** (-torch.arange(0, D, 2) / D)
        self.register_buffer("cos", torch.cat([angle.cos(), angle.cos()], -1))
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], -1))

    def rope(self, x):
        a, b = x.chunk(2, -1)
        return torch.addcmul(x * self.cos.to(x.dtype), torch.cat([b, a], -1), self.sin.to(x.dtype))

    def norm(self, x, l):
        return F.rms_norm(x, x.shape[-1:], self.gain[l], EPS)

    def sublayer(self, l, h):
        i, x = l // 2, self.norm(h, l)
        if l % 2:
            gate, up = F.linear(x, self.gate_up[i]).chunk(2, -1)
            return F.linear(F.silu(gate) * up, self.down[i])
        B, T, C = x.shape
        H = self.options.heads
        qkv = F.linear(x, self.qkv[i]).chunk(3, -1)
        q, k, v = (z.view(B, T, H, -1).transpose(1, 2) for z in qkv)
        y = F.scaled_dot_product_attention(self.rope(q), self.rope(k), v, is_causal=True)
        return F.linear(y.transpose(1, 2).reshape(B, T, C), self.out[i])

    def forward_standard(self, h):
        for l in range(2 * self.options.layers):
            h = h + self.sublayer(l, h)
        return h

    def forward_depth(self, h):
        kind, n = self.options.kind, 2 * self.options.layers
        size = 1 if kind == "full" else self.options.block
        reads = READS[self.options.read]()
        if self.options.bf16:  # sources of one type, and of half the size
            h = h.bfloat16()
        closed, opened, total = [reads.put(h)], [], None
        for l in range(n):
            y = self.sublayer(l, reads.read(self.query[l], closed + opened))
            total = y if total is None else total + y
            if (l + 1) % size == 0 or l == n - 1:
                closed, opened, total = closed + [reads.put(total)], [], None
            else:
                opened = [reads.put(total)] if kind == "block" else opened + [reads.put(y)]
        return reads.read(self.query[n], closed)

    def forward(self, tokens, targets):
        h = self.embedding(tokens)
        h = self.forward_standard(h) if self.options.kind == "standard" else self.forward_depth(h)
        logits = F.linear(self.norm(h, 2 * self.options.layers), self.head)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def count_read_pairs(options):
    """(read, source) pairs of reads with more than one source."""
    if options.kind == "standard":
        return 0
    n, size, pairs = 2 * options.layers, 1 if options.kind == "full" else options.block, 0
    for l in range(n):
        members = l % size
        n_sources = 1 + l // size + (min(members, 1) if options.kind == "block" else members)
        pairs += n_sources if n_sources > 1 else 0
    return pairs + 1 + -(-n // size)


def count_flops(options):
    """Of a step: three times a forward, attention over the causal half."""
    C, T = options.dim, options.seq
    matrices = options.layers * (4 * C * C + 3 * C * options.ff) + options.vocab * C
    per_token = 2 * matrices + 2 * options.layers * T * C + 4 * C * count_read_pairs(options)
    return 3 * per_token * options.batch * T


def draw_batch(options):
    return [torch.randint(0, options.vocab, (options.batch, options.seq)) for _ in range(2)]


def verify(options):
    """The forms against `stack`, with queries that are not zero."""
    batch, results = draw_batch(options), {}
    for options.read in READS:
        torch.manual_seed(0)
        peer = Peer(options)
        for query in peer.query:
            nn.init.normal_(query, std=0.2)
        loss = peer(*batch)
        loss.backward()
        results[options.read] = (loss.item(), {n: p.grad for n, p in peer.named_parameters() if p.grad is not None})
    loss, gradients = results.pop("stack")
    for form, (other_loss, others) in results.items():
        worst = max((others[n] - g).norm().item() / max(g.norm().item(), 1e-30) for n, g in gradients.items())
        print(json.dumps({"kind": options.kind, "read": form, "loss": other_loss - loss, "worst_gradient": worst}))


def time_steps(options):
    peer = Peer(options)
    step_model = torch.compile(peer) if options.compile else peer
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-4, fused=True)
    batch, times = draw_batch(options), []
    clock = time.process_time if options.processor_time else time.perf_counter
    for _ in range(options.steps + WARM_UP_STEPS):
        start = clock()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            loss = step_model(*batch)
        loss.backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(clock() - start)
    return statistics.median(times[WARM_UP_STEPS:])


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", default="standard", choices=["standard", "full", "block", "block_full"])
    parser.add_argument("--read", default="auto", choices=["auto", *READS], help="auto: hand; list with --compile or --bf16")
    sizes = {"dim": 512, "layers": 12, "heads": 8, "ff": 1360, "vocab": 256, "seq": 512, "batch": 4}
    sizes.update({"block": 4, "threads": 1, "steps": 6})
    for name, default in sizes.items():
        parser.add_argument("--" + name, type=int, default=default)
    for flag in ("bf16", "compile", "verify", "processor-time"):
        parser.add_argument("--" + flag, action="store_true")
    options = parser.parse_args()
    if options.read == "auto":
        options.read = "list" if options.compile or options.bf16 else "hand"
    if options.read == "hand" and options.bf16:
        parser.error("--read hand is f32 alone")
    return options


def main():
    options = parse_options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.verify:
        return verify(options)
    step_s = time_steps(options)
    row = {"peer": "torch " + torch.__version__}
    row.update({k: getattr(options, k) for k in ("kind", "read", "bf16", "compile", "threads")})
    row["step_s"] = step_s
    row["tokens_per_s"] = options.batch * options.seq / step_s
    row["gflops"] = count_flops(options) / step_s / 1e9
    row["rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(row))


if __name__ == "__main__":
    main()
