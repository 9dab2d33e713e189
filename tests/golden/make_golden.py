#!/usr/bin/env python3
"""Record reference runs of tiny models in PyTorch, for test_golden.c to compare with.

The model is written from its equations alone, as plainly as possible and in f32: every read is a
loop over its sources, every gradient comes from autograd, clipping and AdamW are PyTorch's own.
Needs PyTorch and NumPy. README.md says what a golden holds and how far it may be trusted.

usage: make_golden.py            write every case next to this script
       make_golden.py --check    make them again and compare with the files; check the model's facts
       make_golden.py --noise    how far f32 is from f64, for each kind of quantity
"""

import argparse
import json
import math
import pathlib
import struct
import sys

import numpy
import torch

SEED = 5
STEPS = 5
LOGIT_SEQUENCES = 2  # sequences of the first microbatch
QUERY_STD = 0.5  # zero queries would hide errors of the reads
GAIN_STD = 0.1
CHECK_TOLERANCE = 2e-5  # other processors and releases of PyTorch round differently
FACT_TOLERANCE = 1e-9  # of equal functions in f64

BASE = {
    "run.seed": SEED,
    "model.kind": "standard",
    "model.layers": 2,
    "model.blocks": 2,
    "model.dim": 16,
    "model.heads": 4,
    "model.kv_heads": 4,
    "model.ff": 24,
    "model.vocab": 29,
    "model.seq_len": 12,
    "model.tied": "false",
    "model.norm_eps": 1e-8,
    "model.read": "query",
    "batch.sequences": 4,
    "batch.microbatch": LOGIT_SEQUENCES,
    "optim.lr": 0.001,
    "optim.beta1": 0.9,
    "optim.beta2": 0.95,
    "optim.eps": 1e-8,
    "optim.weight_decay": 0.1,
    "optim.clip": 1.0,
    "optim.schedule": "constant",
    "optim.warmup_steps": 0,
    "data.kind": "tokens",
    "train.steps": STEPS,
    "train.eval_every": 0,
}

# Eight sublayers in three blocks are blocks of 3, 3 and 2: a short last one, and borders inside
# layers. The large eps shows where it stands in AdamW; the small clip acts in every step.
CASES = {
    "standard": {},
    "standard_tied": {"model.tied": "true", "model.kv_heads": 2, "optim.eps": 1e-4},
    "full": {"model.kind": "full", "model.layers": 3, "model.kv_heads": 1},
    "full_static": {"model.kind": "full", "model.read": "static"},
    "block": {"model.kind": "block", "model.layers": 4, "model.blocks": 3},
    "block_static": {"model.kind": "block", "model.layers": 3, "model.read": "static"},
    "block_tied": {"model.kind": "block", "model.tied": "true", "model.kv_heads": 2},
    "block_full": {"model.kind": "block_full", "model.layers": 4, "model.blocks": 3},
    "block_full_static": {"model.kind": "block_full", "model.layers": 3, "model.read": "static"},
    "block_full_tied": {
        "model.kind": "block_full",
        "model.layers": 3,
        "model.tied": "true",
        "model.kv_heads": 2,
        "optim.clip": 0.25,
    },
}


# The counter-based generator (the finaliser is splitmix64's).

MASK = (1 << 64) - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def rng_key(seed, name):
    return mix(fnv1a64(name) ^ mix((seed + GOLDEN_RATIO) & MASK))


def rng_at(key, index):
    return mix((key + (index + 1) * GOLDEN_RATIO) & MASK)


def rng_normal_at(key, index):
    u1 = ((rng_at(key, 2 * index) >> 11) + 1) * 2.0**-53
    u2 = (rng_at(key, 2 * index + 1) >> 11) * 2.0**-53
    return math.sqrt(-2.0 * math.log(u1)) * math.cos(2.0 * math.pi * u2)


# The parameters: name -> (shape, mean, std, whether weight decay applies), in order of depth.


def count_sources(config, read):
    """Sources of the read in front of sublayer `read`, counted from 0."""
    if config["model.kind"] == "full":
        return read + 1
    size = block_size(config)
    n_sublayers = 2 * config["model.layers"]
    if read == n_sublayers:  # the embedding and every block
        return 1 + math.ceil(n_sublayers / size)
    closed, members = 1 + read // size, read % size
    return closed + (min(members, 1) if config["model.kind"] == "block" else members)


def block_size(config):
    return math.ceil(2 * config["model.layers"] / config["model.blocks"])


def describe_read(config, prefix, read):
    if config["model.kind"] == "standard":
        return {}
    if config["model.read"] == "static":
        return {prefix + ".logits": ((count_sources(config, read),), 0.0, QUERY_STD, False)}
    return {prefix + ".query": ((config["model.dim"],), 0.0, QUERY_STD, False)}


def describe_layer(config, i):
    C, F = config["model.dim"], config["model.ff"]
    K = C // config["model.heads"] * config["model.kv_heads"]
    std, out_std = 0.02, 0.02 / math.sqrt(2 * config["model.layers"])
    p = f"model.layers.{i}."
    return {
        **describe_read(config, p + "self_attn_res", 2 * i),
        p + "input_layernorm.weight": ((C,), 1.0, GAIN_STD, False),
        p + "self_attn.q_proj.weight": ((C, C), 0.0, std, True),
        p + "self_attn.k_proj.weight": ((K, C), 0.0, std, True),
        p + "self_attn.v_proj.weight": ((K, C), 0.0, std, True),
        p + "self_attn.o_proj.weight": ((C, C), 0.0, out_std, True),
        **describe_read(config, p + "mlp_res", 2 * i + 1),
        p + "post_attention_layernorm.weight": ((C,), 1.0, GAIN_STD, False),
        p + "mlp.gate_proj.weight": ((F, C), 0.0, std, True),
        p + "mlp.up_proj.weight": ((F, C), 0.0, std, True),
        p + "mlp.down_proj.weight": ((C, F), 0.0, out_std, True),
    }


def describe_parameters(config):
    V, C, n_layers = config["model.vocab"], config["model.dim"], config["model.layers"]
    table = {"model.embed_tokens.weight": ((V, C), 0.0, 0.02, True)}
    for i in range(n_layers):
        table.update(describe_layer(config, i))
    table.update(describe_read(config, "model.output_res", 2 * n_layers))
    table["model.norm.weight"] = ((C,), 1.0, GAIN_STD, False)
    if config["model.tied"] == "false":
        table["lm_head.weight"] = ((V, C), 0.0, 0.02, True)
    return table


def draw_parameters(config, dtype, query_std=QUERY_STD):
    """Element i of a tensor is mean + std * (the i-th normal under the tensor's name)."""
    weights = {}
    for name, (shape, mean, std, _) in describe_parameters(config).items():
        if "_res." in name:
            std = query_std
        key = rng_key(SEED, name)
        values = [mean + std * rng_normal_at(key, i) for i in range(math.prod(shape))]
        values = numpy.array(values).astype(numpy.float32).reshape(shape)
        weights[name] = torch.tensor(values, dtype=dtype, requires_grad=True)
    return weights


def draw_batch(config):
    n, T = config["batch.sequences"], config["model.seq_len"]
    key = rng_key(SEED, "golden.tokens")
    tokens = [rng_at(key, i) % config["model.vocab"] for i in range(n * (T + 1))]
    tokens = torch.tensor(tokens).view(n, T + 1)
    return tokens[:, :T], tokens[:, 1:]


# The model.


def inverse_rms(x, eps):
    return 1.0 / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def rotate(x):
    """Rotary embedding of x (B,T,D): dimension i is paired with i + D/2."""
    T, D = x.shape[-2:]
    angle = [[t * 10000.0 ** (-2.0 * i / D) for i in range(D // 2)] for t in range(T)]
    angle = torch.tensor(angle, dtype=torch.float64)  # as a constant, exact before it is rounded
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., : D // 2], x[..., D // 2 :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attention(config, w, prefix, x):
    H, n_kv = config["model.heads"], config["model.kv_heads"]
    T, D = x.shape[1], config["model.dim"] // H
    q, k, v = (x @ w[f"{prefix}.{s}_proj.weight"].T for s in "qkv")
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    heads = []
    for h in range(H):
        g = h // (H // n_kv)  # neighbouring query heads share a key and value head
        qh = rotate(q[..., h * D : (h + 1) * D])
        kh = rotate(k[..., g * D : (g + 1) * D])
        vh = v[..., g * D : (g + 1) * D]
        scores = (qh @ kh.transpose(1, 2) * D**-0.5).masked_fill(~causal, float("-inf"))
        heads.append(torch.softmax(scores, -1) @ vh)
    return torch.cat(heads, -1) @ w[prefix + ".o_proj.weight"].T


def mlp(w, prefix, x):
    gate, up = x @ w[prefix + ".gate_proj.weight"].T, x @ w[prefix + ".up_proj.weight"].T
    return (gate * torch.sigmoid(gate) * up) @ w[prefix + ".down_proj.weight"].T


def sublayer(config, w, l, h):
    p = f"model.layers.{l // 2}."
    norm = inverse_rms(h, config["model.norm_eps"])
    if l % 2 == 0:
        return attention(config, w, p + "self_attn", h * norm * w[p + "input_layernorm.weight"])
    return mlp(w, p + "mlp", h * norm * w[p + "post_attention_layernorm.weight"])


def read(config, w, l, sources):
    """Attention over depth, one token at a time: a weighted mean of the sources."""
    if len(sources) == 1:
        return sources[0]
    n_sublayers = 2 * config["model.layers"]
    where = "self_attn_res" if l % 2 == 0 else "mlp_res"
    p = "model.output_res" if l == n_sublayers else f"model.layers.{l // 2}.{where}"
    if config["model.read"] == "static":
        logits = w[p + ".logits"]
        assert len(logits) == len(sources)
        scores = [logits[i].expand(v.shape[:2]) for i, v in enumerate(sources)]
    else:
        query, eps = w[p + ".query"], config["model.norm_eps"]
        scores = [(v @ query) * inverse_rms(v, eps)[..., 0] for v in sources]
    weights = torch.softmax(torch.stack(scores), 0)
    return sum(weights[i][..., None] * v for i, v in enumerate(sources))


def forward_standard(config, w, x):
    for l in range(2 * config["model.layers"]):
        x = x + sublayer(config, w, l, x)
    return x


def forward_full(config, w, x):
    sources = [x]
    n_sublayers = 2 * config["model.layers"]
    for l in range(n_sublayers):
        sources.append(sublayer(config, w, l, read(config, w, l, sources)))
    return read(config, w, n_sublayers, sources)


def forward_blocks(config, w, x):
    """`block` shows an open block as its partial sum, `block_full` as its outputs so far."""
    closed, outputs = [x], []
    n_sublayers, size = 2 * config["model.layers"], block_size(config)
    for l in range(n_sublayers):
        opened = outputs
        if config["model.kind"] == "block" and outputs:
            opened = [sum(outputs[1:], outputs[0])]
        outputs = outputs + [sublayer(config, w, l, read(config, w, l, closed + opened))]
        if len(outputs) == size or l == n_sublayers - 1:
            closed, outputs = closed + [sum(outputs[1:], outputs[0])], []
    return read(config, w, n_sublayers, closed)


FORWARD = {
    "standard": forward_standard,
    "full": forward_full,
    "block": forward_blocks,
    "block_full": forward_blocks,
}


def compute_logits(config, w, tokens):
    embedding = w["model.embed_tokens.weight"]
    h = FORWARD[config["model.kind"]](config, w, embedding[tokens])
    h = h * inverse_rms(h, config["model.norm_eps"]) * w["model.norm.weight"]
    return h @ w.get("lm_head.weight", embedding).T


def compute_loss(logits, targets):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


# A recorded run.


def make_optimizer(config, w):
    table = describe_parameters(config)
    groups = [
        {"params": [w[n] for n in table if table[n][3]]},
        {"params": [w[n] for n in table if not table[n][3]], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=config["optim.lr"],
        betas=(config["optim.beta1"], config["optim.beta2"]),
        eps=config["optim.eps"],
        weight_decay=config["optim.weight_decay"],
        foreach=False,
    )


def train_step(config, w, optimizer, batch):
    """One update. Returns logits, loss and norm before it; leaves the clipped gradients."""
    tokens, targets = batch
    optimizer.zero_grad(set_to_none=True)
    logits = compute_logits(config, w, tokens)
    loss = compute_loss(logits, targets)
    loss.backward()
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in w.items()}
    norm = torch.nn.utils.clip_grad_norm_(w.values(), config["optim.clip"], foreach=False)
    optimizer.step()
    return logits.detach(), loss.detach(), norm, gradients


def record_final(w, optimizer):
    tensors = {}
    for name, p in w.items():
        state = optimizer.state[p]  # empty where no gradient ever arrived: the first read's query
        tensors["final." + name] = p.detach()
        for moment in ("exp_avg", "exp_avg_sq"):
            norm = state[moment].norm() if state else torch.zeros((), dtype=p.dtype)
            tensors[f"{moment}_norm.{name}"] = norm.reshape(1)
    return tensors


def record_case(config, dtype=torch.float32):
    w = draw_parameters(config, dtype)
    batch = draw_batch(config)
    optimizer = make_optimizer(config, w)
    tensors = {"initial_norm." + n: p.detach().norm().reshape(1) for n, p in w.items()}
    losses, norms = [], []
    for step in range(STEPS):
        logits, loss, norm, gradients = train_step(config, w, optimizer, batch)
        losses.append(loss)
        norms.append(norm)
        if step == 0:
            tensors["logits"] = logits[:LOGIT_SEQUENCES].flatten(0, 1)
            tensors.update({"grad." + n: g for n, g in gradients.items()})
    tensors["losses"] = torch.stack(losses)
    tensors["grad_norms"] = torch.stack(norms)
    tensors.update(record_final(w, optimizer))
    return {n: t.numpy() for n, t in tensors.items()}


def configure(case):
    return {**BASE, **CASES[case]}


# Files.


def write_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, t in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(t.shape),
            "data_offsets": [offset, offset + t.nbytes],
        }
        offset += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(t.astype("<f4").tobytes() for t in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, row in header.items():
        begin, end = (8 + length + o for o in row["data_offsets"])
        tensors[name] = numpy.frombuffer(raw[begin:end], "<f4").reshape(row["shape"])
    return tensors, metadata


def describe_run(config):
    return {
        "config": "\n".join(f"{key}={value}" for key, value in config.items()),
        "seed": str(SEED),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": sys.version.split()[0],
    }


def relative_error(a, b):
    a, b = a.astype(numpy.float64), b.astype(numpy.float64)
    norm = numpy.linalg.norm(b)
    return numpy.linalg.norm(a - b) / norm if norm > 0 else float(numpy.abs(a).max() > 0)


def check_case(path, tensors, metadata):
    """Problems found, as texts."""
    stored, stored_metadata = read_safetensors(path)
    problems = []
    if stored_metadata["config"] != metadata["config"]:
        problems.append("configuration differs")
    if list(stored) != list(tensors):
        problems.append("tensor names differ")
        return problems
    for name, t in tensors.items():
        error = relative_error(t, stored[name])
        if error > CHECK_TOLERANCE:
            problems.append(f"{name}: relative error {error:.2g}")
    return problems


def check_all(folder):
    n_bad = 0
    for case in CASES:
        config = configure(case)
        problems = check_case(folder / f"{case}.safetensors", record_case(config), describe_run(config))
        print(f"{case}: {'; '.join(problems) or 'ok'}")
        n_bad += len(problems) > 0
    return n_bad


def compute_gradients(config, query_std):
    w = draw_parameters(config, torch.float64, query_std)
    tokens, targets = draw_batch(config)
    compute_loss(compute_logits(config, w, tokens), targets).backward()
    return {n: p.grad.numpy() for n, p in w.items() if "_res." not in n}


def check_facts():
    """Different equations that must be the same function, with gradients: how many are not."""
    settings = {"model.layers": 3, "model.kv_heads": 2, "model.norm_eps": 1e-20}
    facts = []
    for kind in ("full", "block", "block_full"):
        facts.append((f"{kind} at zero queries is standard", {"model.kind": kind}, {}, 0.0))
    for kind in ("block", "block_full"):
        single = {"model.kind": kind, "model.blocks": 6}
        facts.append((f"{kind} in blocks of one is full", single, {"model.kind": "full"}, QUERY_STD))
    n_bad = 0
    for fact, a, b, query_std in facts:
        a = compute_gradients({**BASE, **settings, **a}, query_std)
        b = compute_gradients({**BASE, **settings, **b}, query_std)
        error = max(relative_error(a[n], b[n]) for n in b)
        print(f"{fact}: relative error {error:.1e}")
        n_bad += error > FACT_TOLERANCE
    return n_bad


def print_noise():
    """The worst relative distance between f32 and f64 runs, by kind of quantity."""
    for case in CASES:
        single = record_case(configure(case))
        double = record_case(configure(case), torch.float64)
        worst = {}
        for name, t in single.items():
            kind = name.split(".")[0]
            worst[kind] = max(worst.get(kind, 0.0), relative_error(t, double[name]))
        print(f"{case}: " + ", ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    return 0


def write_all(folder):
    for case in CASES:
        config = configure(case)
        path = folder / f"{case}.safetensors"
        write_safetensors(path, record_case(config), describe_run(config))
        print(f"{path.name}: {path.stat().st_size} bytes")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the files")
    parser.add_argument("--noise", action="store_true", help="print how far f32 is from f64")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.noise:
        return print_noise()
    if options.check:
        return min(1, check_all(options.folder) + check_facts())
    return write_all(options.folder)


if __name__ == "__main__":
    sys.exit(main())
