"""Writes the synthetic golden cases of objective/: float64, straight from the formulas.

    python tests/golden/make_objective.py        (needs numpy, torch, safetensors)

Nothing here is clever: every similarity is a whole matrix, u lives as itself, gradients come from
autograd over the surrogate whose gradient FastCLIP defines, and steps from torch.optim. Tensors bear
the names that the shared golden files use, K{ranks}/NAME, with feature gradients times the ranks.
"""

import json
import math
import pathlib

import torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
OUT = pathlib.Path(__file__).parent / "objective"
LN100 = math.log(100.0)


def features(generator, rows, width, noise):
    common = torch.randn(rows, width, generator=generator)
    pair = [common + noise * torch.randn(rows, width, generator=generator) for _ in range(2)]
    return [torch.nn.functional.normalize(side, dim=1) for side in pair]


def gamma_of(config, epoch):
    if epoch == 0:
        return 1.0
    if epoch >= config["gamma_decay_epochs"]:
        return config["gamma"]
    falling = 0.5 * (1 + math.cos(math.pi * epoch / config["gamma_decay_epochs"]))
    return config["gamma"] + (1 - config["gamma"]) * falling


def inner_values(image, text, t):
    """g1, g2: means over the negatives of exp((S_ij - S_ii)/tau), each anchor's row."""
    similarity = image @ text.T
    own = similarity.diagonal()
    negatives = ~torch.eye(len(own), dtype=torch.bool)
    out = []
    for rows in (similarity, similarity.T):
        d = (rows - own[:, None]) * t.exp()
        out.append((d.exp() * negatives).sum(1) / (len(own) - 1))
    return out


def moved(u, g, gamma):
    if gamma == 1:
        return g
    bad = (u < 1e-35) | ~torch.isfinite(u)
    return torch.where(bad, g, (1 - gamma) * u + gamma * g)


def surrogate(image, text, t, u, config):
    """Half of the published objective's gradient, with u in the place of g in the denominators."""
    g = inner_values(image, text, t)
    value = 0.5 * sum((gi / (ui + config["eps"])).mean() for gi, ui in zip(g, u))
    return (-t.detach()).exp() * value if config["multiply_tau"] else value


def fastclip(name, config, seed, ranks, rows, width, size, epochs, preset=None, idx=None):
    generator = torch.Generator().manual_seed(seed)
    n = ranks * rows
    learns = config["temperature_scheme"] == "global_learnable"
    t = torch.tensor(math.log(1 / config["temperature"]), requires_grad=True)
    adam = torch.optim.AdamW([t], lr=0.0, betas=(config["beta1"], config["beta2"]),
                             eps=config["adam_eps"], weight_decay=0)
    tables = [torch.zeros(size), torch.zeros(size)]
    for table, values in zip(tables, preset or ()):
        table[: len(values)] = torch.tensor(values)
    log = {}

    def note(key, value):
        log.setdefault(key, []).append(value.detach().clone())

    for epoch in epochs:
        index = torch.tensor(idx) if idx else torch.randperm(size, generator=generator)[:n]
        image, text = (side.requires_grad_() for side in features(generator, n, width, 0.8))
        gamma = gamma_of(config, epoch)
        tau = math.exp(-t.item())
        lr_tau = config["lr_tau"]
        if config["lr_tau_scheduler"] == "step_thresh" and tau <= 0.03:
            lr_tau /= 3
        note("index", index.view(ranks, rows))
        note("image_features", image.view(ranks, rows, width))
        note("text_features", text.view(ranks, rows, width))
        note("epoch", torch.tensor(epoch))
        note("gamma", torch.tensor(gamma))
        note("lr_tau", torch.tensor(lr_tau))
        note("t_before", t)
        note("tau_before", torch.tensor(tau))
        for side, table in zip(("im", "tt"), tables):
            note(f"u_{side}_before", table)
        with torch.no_grad():
            g = inner_values(image, text, t)
            u = [moved(table[index], gi, gamma) for table, gi in zip(tables, g)]
        value = surrogate(image, text, t, u, config)
        grad_image, grad_text, grad_t = torch.autograd.grad(value, (image, text, t))
        note("grad_image", ranks * grad_image.view(ranks, rows, width))
        note("grad_text", ranks * grad_text.view(ranks, rows, width))
        robust = 0.0
        if config["multiply_tau"]:
            # d/dt of rho*tau + tau*mean of ln u, with dtau/dt = -tau
            robust = -tau * (config["rho"] + 0.5 * sum(ui.log().mean() for ui in u))
        if learns:
            note("grad_t_avg", 2 * grad_t + robust)  # fast_clip counts the contrastive part twice
            note("indep/grad_t_avg_half", grad_t + robust)
        for side, table, ui in zip(("im", "tt"), tables, u):
            note(f"u_{side}_batch", ui.view(ranks, rows))
            for place, row in enumerate(index.tolist()):  # the last of equal indices wins
                table[row] = ui[place]
            note(f"u_{side}_after", table)
        if learns:
            t.grad = (2 * grad_t + robust).detach()
            adam.param_groups[0]["lr"] = lr_tau
            adam.step()
            with torch.no_grad():
                t.clamp_(0, LN100)
        note("t_after", t)
    tensors = {f"K{ranks}/{key}": torch.stack(values).contiguous() for key, values in log.items()}
    return {"kind": "fastclip_loss", "config": config}, tensors


def robust(config, seed, ranks, rows, width, size, epochs):
    """A temperature a sample, as fast_clip computes it: u in the domain of exp(d - bound)."""
    generator = torch.Generator().manual_seed(seed)
    n = ranks * rows
    sides = ("im", "tt")
    t = torch.tensor(math.log(1 / config["temperature"]))
    zeros = lambda: {side: torch.zeros(size) for side in sides}
    tables = {"u": zeros(), "bound": zeros(), "m_grad_tau": zeros(), "v_grad_tau": zeros(),
              "tau": {side: torch.full((size,), config["temperature"]) for side in sides}}
    log = {}

    def note(key, value):
        log.setdefault(key, []).append(value.detach().clone())

    def note_tables(when):
        for name, both in tables.items():
            for side in sides:
                note(f"{name}_{side}_{when}", both[side])

    for epoch in epochs:
        index = torch.randperm(size, generator=generator)[:n]
        image, text = (side.requires_grad_() for side in features(generator, n, width, 0.8))
        gamma = gamma_of(config, epoch)
        for key, value in {"index": index, "image_features": image, "text_features": text}.items():
            note(key, value.view(ranks, rows, *value.shape[1:]))
        for key, value in {"epoch": epoch, "gamma": gamma, "lr_tau": config["lr_tau"]}.items():
            note(key, torch.tensor(value))
        note("t_before", t)
        note_tables("before")
        negatives = 1 - torch.eye(n)
        reference = published = 0.0
        fresh = {}
        for side, similarity in zip(sides, (image @ text.T, (image @ text.T).T)):
            row = {name: both[side][index] for name, both in tables.items()}
            d = (similarity - similarity.diagonal()[:, None]) / row["tau"][:, None]
            bound = torch.maximum(row["bound"], d.detach().amax(1))
            e = (d - bound[:, None]).exp() * negatives
            g = e.sum(1) / (n - 1)
            u = moved(row["u"] * (row["bound"] - bound).exp(), g.detach(), gamma)
            w = e.detach() / (n - 1) / (u + config["eps"])[:, None]
            reference = reference + 0.5 * (g / (u + config["eps"])).mean()
            published = published + 0.5 * (row["tau"] * g / (u + config["eps"])).mean()
            slope = (bound + config["rho"] + (u + config["eps"]).log() -
                     (w * d.detach()).sum(1)).clamp(-5, 5)
            b1, b2 = (0.0, 0.0) if epoch == 0 else (config["beta1"], config["beta2"])
            m = b1 * row["m_grad_tau"] + (1 - b1) * slope
            v = b2 * row["v_grad_tau"] + (1 - b2) * slope**2
            step = m / (1 - b1**(epoch + 1)) / ((v / (1 - b2**(epoch + 1))).sqrt() + config["adam_eps"])
            tau = (row["tau"] - config["lr_tau"] * step).clamp(0.01, 1.0)
            fresh[side] = {"u": u, "bound": bound, "m_grad_tau": m, "v_grad_tau": v, "tau": tau}
        for prefix, value in (("grad_", reference), ("indep/obj_grad_", published)):
            grads = torch.autograd.grad(value, (image, text), retain_graph=True)
            for key, grad in zip(("image", "text"), grads):
                note(prefix + key, ranks * grad.view(ranks, rows, width))
        for side, columns in fresh.items():
            note(f"u_{side}_batch", columns["u"].view(ranks, rows))
            for name, values in columns.items():
                tables[name][side][index] = values.detach()
        note_tables("after")
    tensors = {f"K{ranks}/{key}": torch.stack(values).contiguous() for key, values in log.items()}
    return {"kind": "fastclip_loss", "config": config}, tensors


def note_step(log, ranks, sides, grads, each, **scalars):
    """Adds a step of a batch loss to the log: grads are those of both sides and of t."""
    by_rank = [side.view(ranks, -1, side.shape[1]) for side in (*sides, *grads[:2])]
    values = {
        "image_features": by_rank[0],
        "text_features": by_rank[1],
        "grad_image": ranks * by_rank[2],
        "grad_text": ranks * by_rank[3],
        "grad_t_avg": grads[2],
        "loss": each.view(ranks, -1).mean(1),
    }
    for key, value in (values | scalars).items():
        log.setdefault(key, []).append(value.detach().clone())


def siglip(config, seed, ranks, rows, width, steps):
    generator = torch.Generator().manual_seed(seed)
    n = ranks * rows
    t = torch.tensor(config["init_logit_scale"], requires_grad=True)
    bias = torch.tensor(config["init_logit_bias"], requires_grad=True)
    adam = torch.optim.AdamW([t, bias], lr=config["lr_tau"], eps=config["adam_eps"], weight_decay=0,
                             betas=(config["beta1"], config["beta2"]))
    log = {}
    for _ in range(steps):
        image, text = (side.requires_grad_() for side in features(generator, n, width, 0.8))
        signs = 2 * torch.eye(n) - 1
        each = -torch.nn.functional.logsigmoid(signs * (image @ text.T * t.exp() + bias)).sum(1)
        grads = torch.autograd.grad(each.mean(), (image, text, t, bias))
        t_before, bias_before = t.detach().clone(), bias.detach().clone()
        t.grad, bias.grad = grads[2], grads[3]
        adam.step()
        with torch.no_grad():
            t.clamp_(0, LN100)
        note_step(log, ranks, (image, text), grads, each, grad_bias_avg=grads[3],
                  t_before=t_before, t_after=t, bias_before=bias_before, bias_after=bias)
    tensors = {f"K{ranks}/{key}": torch.stack(values).contiguous() for key, values in log.items()}
    return {"kind": "openclip_loss", "config": config}, tensors


def openclip(config, seed, ranks, rows, width, steps):
    generator = torch.Generator().manual_seed(seed)
    n = ranks * rows
    t = torch.tensor(math.log(1 / config["temperature"]), requires_grad=True)
    adam = torch.optim.AdamW([t], lr=config["lr_tau"], betas=(config["beta1"], config["beta2"]),
                             eps=config["adam_eps"], weight_decay=0)
    log = {}
    for _ in range(steps):
        image, text = (side.requires_grad_() for side in features(generator, n, width, 0.8))
        logits = image @ text.T * t.exp()
        labels = torch.arange(n)
        cross = torch.nn.functional.cross_entropy
        each = 0.5 * (cross(logits, labels, reduction="none") +
                      cross(logits.T, labels, reduction="none"))
        grads = torch.autograd.grad(each.mean(), (image, text, t))
        t_before = t.detach().clone()
        t.grad = grads[2]
        adam.step()
        with torch.no_grad():
            t.clamp_(0, LN100)
        note_step(log, ranks, (image, text), grads, each, t_before=t_before, t_after=t)
    tensors = {f"K{ranks}/{key}": torch.stack(values).contiguous() for key, values in log.items()}
    return {"kind": "openclip_loss", "config": config}, tensors


class Lamb(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, {})

    def step(self):
        for group in self.param_groups:
            (b1, b2), wd = group["betas"], group["weight_decay"]
            for p in group["params"]:
                state = self.state[p]
                k = state["k"] = state.get("k", 0) + 1
                m = state["exp_avg"] = b1 * state.get("exp_avg", 0) + (1 - b1) * p.grad
                v = state["exp_avg_sq"] = b2 * state.get("exp_avg_sq", 0) + (1 - b2) * p.grad**2
                r = m / (1 - b1**k) / ((v / (1 - b2**k)).sqrt() + group["eps"])
                trust = 1.0
                if wd != 0:
                    r = r + wd * p.data
                    trust = p.data.norm() / r.norm() if p.data.norm() > 0 and r.norm() > 0 else 1.0
                p.data = p.data - group["lr"] * trust * r


class Lion(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, {})

    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].get("exp_avg", torch.zeros_like(p))
                direction = (b1 * m + (1 - b1) * p.grad).sign()
                p.data = p.data - group["lr"] * (direction + group["weight_decay"] * p.data)
                self.state[p]["exp_avg"] = b2 * m + (1 - b2) * p.grad


def optimizer_kinds():
    """name: (class, what each of the three groups is given, names of the state)."""
    adam = ["exp_avg", "exp_avg_sq"]
    sizes = {"rn50": {"betas": (0.9, 0.999), "eps": 1e-8}, "vit": {"betas": (0.9, 0.98), "eps": 1e-6}}
    kinds = {}
    for size, given in sizes.items():
        kinds[f"adamw_{size}"] = (torch.optim.AdamW, [given] * 3, adam)
        kinds[f"lamb_{size}"] = (Lamb, [given] * 3, adam)
    kinds["lion"] = (Lion, [{"betas": (0.9, 0.99)}] * 3, ["exp_avg"])
    for name, nesterov in (("sgdm", False), ("nesterov", True)):
        moving = {"momentum": 0.9, "nesterov": nesterov}
        still = {"momentum": 0.0, "nesterov": False}  # the temperature
        kinds[name] = (torch.optim.SGD, [moving, moving, still], ["momentum_buffer"])
    return kinds


def optimizers(seed, steps=5, lr=0.01, lr_tau=0.002, weight_decay=0.1, warmup=2):
    generator = torch.Generator().manual_seed(seed)
    shapes = {  # name: shape, group (0 no decay, 1 decay, 2 temperature)
        "visual.conv1.weight": ((2, 3, 2, 2), 1),
        "visual.class_embedding": ((4,), 0),
        "visual.ln_post.weight": ((4,), 0),
        "token_embedding.weight": ((5, 4), 1),
        "transformer.resblocks.0.attn.in_proj_bias": ((6,), 0),
        "text_projection": ((4, 3), 1),
        "logit_scale": ((), 2),
    }
    init = {name: torch.randn(shape, generator=generator) for name, (shape, _) in shapes.items()}
    grads = {name: torch.randn((steps, *shape), generator=generator)
             for name, (shape, _) in shapes.items()}
    tensors = {f"init/{name}": value for name, value in init.items()}
    tensors |= {f"grads/{name}": value for name, value in grads.items()}
    config = {"params": {name: {"shape": list(shape), "group": group}
                         for name, (shape, group) in shapes.items()}}
    for name, (kind, given, states) in optimizer_kinds().items():
        config[name] = {"weight_decay": weight_decay}
        leaves = {key: value.clone().requires_grad_() for key, value in init.items()}
        groups = [{"params": [leaves[key] for key, (_, g) in shapes.items() if g == group],
                   "weight_decay": weight_decay if group == 1 else 0.0,
                   "lr": 0.0, **given[group]} for group in range(3)]
        optimizer = kind(groups)
        log = {}
        for step in range(steps):
            model_lr = lr * (step + 1) / warmup if step < warmup else \
                lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
            for group, rate in zip(optimizer.param_groups, (model_lr, model_lr, lr_tau)):
                group["lr"] = rate
            for key, leaf in leaves.items():
                leaf.grad = grads[key][step].clone()
            optimizer.step()
            log.setdefault(f"{name}/lr", []).append(torch.tensor([model_lr, lr_tau]))
            for key, leaf in leaves.items():
                log.setdefault(f"{name}/{key}", []).append(leaf.detach().clone())
                for state in states:
                    value = optimizer.state[leaf].get(state)
                    if value is not None:  # without momentum there is none
                        log.setdefault(f"{name}/{key}#{state}", []).append(value.clone())
        tensors |= {key: torch.stack(values) for key, values in log.items()}
    max_norm = 1.5
    config[f"clip{max_norm}"] = {"max_norm": max_norm}
    scale = torch.ones(steps)
    norms = torch.stack([torch.cat([g[s].flatten() for g in grads.values()]).norm()
                         for s in range(steps)])
    scale = (max_norm / (norms + 1e-6)).clamp(max=1)
    tensors[f"clip{max_norm}/total_norm"] = norms
    for key, value in grads.items():
        tensors[f"clip{max_norm}/{key}"] = value * scale.view(-1, *[1] * (value.dim() - 1))
    return {"kind": "optimizers", "config": config, "param_order": list(shapes)}, tensors


def schedules():
    def cosine(base, low, warmup, steps):
        return [base * (s + 1) / warmup if s < warmup else
                low + (base - low) * 0.5 * (1 + math.cos(math.pi * (s - warmup) / (steps - warmup)))
                for s in range(steps)]

    about, values = {}, {}
    gamma = {"gamma": 0.3, "gamma_decay_epochs": 6}
    values["gamma_cosine"] = [gamma_of(gamma, e) for e in range(10)]
    about["gamma_cosine"] = {"gamma_min": 0.3, "schedule": "cosine", "decay_epochs": 6}
    values["gamma_constant"] = [1.0] + [0.7] * 5
    about["gamma_constant"] = {"gamma_min": 0.7, "schedule": "constant", "decay_epochs": 6}
    values["lr_cosine"] = cosine(3e-4, 1e-5, 4, 25)
    about["lr_cosine"] = {"fn": "cosine_lr", "base_lr": 3e-4, "warmup_length": 4, "steps": 25,
                          "lr_min": 1e-5}
    values["lr_const"] = [5e-4 * min((s + 1) / 3, 1) for s in range(8)]
    about["lr_const"] = {"fn": "const_lr", "base_lr": 5e-4, "warmup_length": 3, "steps": 8}
    for power, end in ((1.0, 0.0), (3.0, 2e-5)):
        name = f"lr_const_cooldown_{power:g}"
        about[name] = {"fn": "const_lr_cooldown", "base_lr": 4e-4, "warmup_length": 3, "steps": 20,
                       "cooldown_steps": 8, "cooldown_power": power, "cooldown_end_lr": end}
        values[name] = [4e-4 * (s + 1) / 3 if s < 3 else 4e-4 if s < 12 else
                        end + (4e-4 - end) * ((20 - s) / 8) ** power for s in range(20)]
    taus = [0.07, 0.0301, 0.0299, 0.01, 0.031, 1.0]
    values["lr_tau_step_thresh_t"] = [math.log(1 / tau) for tau in taus]
    values["lr_tau_step_thresh"] = [6e-4 if tau > 0.03 else 2e-4 for tau in taus]
    about["lr_tau_step_thresh"] = {"base_lr": 6e-4}
    about["lr_tau_step_thresh_t"] = {}
    return ({"kind": "schedules", "tensors": about},
            {key: torch.tensor(value) for key, value in values.items()})


def main():
    v3 = {"gamma": 0.3, "gamma_schedule": "cosine", "gamma_decay_epochs": 3, "rho": 6.5,
          "eps": 1e-14, "multiply_tau": True, "temperature": 0.07, "lr_tau": 2e-3,
          "lr_tau_scheduler": "step_thresh", "warmup": 0, "lr_min": 0.0, "beta1": 0.9,
          "beta2": 0.98, "adam_eps": 1e-6, "temperature_scheme": "global_learnable"}
    v1 = v3 | {"multiply_tau": False, "lr_tau": 0.0, "lr_tau_scheduler": "const",
               "temperature": 0.05, "temperature_scheme": "global_constant"}
    small_tau = v3 | {"temperature": 0.0302, "lr_tau": 0.3, "rho": 11.0, "eps": 1e-6}
    clip = {"kind": "clip", "temperature": 0.07, "lr_tau": 1e-3, "beta1": 0.9, "beta2": 0.98,
            "adam_eps": 1e-6}
    v0 = v3 | {"multiply_tau": False}
    v2 = v3 | {"temperature": 0.03, "lr_tau": 0.0133, "lr_tau_scheduler": "const", "rho": 4.0,
               "multiply_tau": False, "temperature_scheme": "individual_learnable"}
    sig = clip | {"kind": "siglip", "init_logit_scale": math.log(10), "init_logit_bias": -4.0}
    epochs = [0, 1, 1, 2, 4]
    broken = ([0.0, 1e-36, float("inf"), float("nan"), 0.7, 2.5], [0.3, float("nan"), -1.0, 9e-36,
              float("inf"), 4.0])
    files = {
        "v1": [fastclip("v1", v1, 1, k, b, 7, 11, epochs) for k, b in ((1, 5), (4, 2))],
        "v3": [fastclip("v3", v3, 2, k, b, 7, 11, epochs) for k, b in ((1, 5), (4, 2))],
        "v3_small_tau": [fastclip("v3_small_tau", small_tau, 3, 2, 3, 6, 9, epochs)],
        "broken_u": [fastclip("broken_u", v3, 4, 2, 3, 6, 9, [3, 4], broken, list(range(6)))],
        "duplicate_index": [fastclip("duplicate_index", v3, 5, 2, 3, 6, 9, [0, 3, 4], None,
                                     [0, 1, 0, 1, 5, 0])],
        "openclip": [openclip(clip, 6, k, b, 7, 3) for k, b in ((1, 5), (4, 2))],
        "v0": [fastclip("v0", v0, 8, k, b, 7, 11, epochs) for k, b in ((1, 5), (2, 3))],
        "v2": [robust(v2, 9, k, b, 7, 11, epochs) for k, b in ((1, 5), (2, 3))],
        "siglip": [siglip(sig, 10, k, b, 7, 3) for k, b in ((1, 5), (2, 3))],
        "optimizers": [optimizers(7)],
        "schedules": [schedules()],
    }
    OUT.mkdir(exist_ok=True)
    manifest = {}
    for name, parts in files.items():
        tensors = {}
        for about, part in parts:
            tensors |= part
        manifest[f"{name}.safetensors"] = about
        save_file({key: value.contiguous() for key, value in tensors.items()},
                  OUT / f"{name}.safetensors")
    (OUT / "manifest.json").write_text(json.dumps({"files": manifest}, indent=1) + "\n")


if __name__ == "__main__":
    main()
