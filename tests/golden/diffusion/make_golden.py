#!/usr/bin/env python3
"""Samples of an analytic noise predictor (a Gaussian mixture, float64) drawn by the official samplers.

    OMP_NUM_THREADS=1 python3 tests/golden/diffusion/make_golden.py tests/golden/diffusion/samplers.json \
        --dpm_solver PATH/dpm-solver --uvit PATH/U-ViT --unipc PATH/UniPC --k_diffusion PATH/k-diffusion

Checkouts: LuChengTHU/dpm-solver, baofff/U-ViT, wl-zhao/UniPC, crowsonkb/k-diffusion. Only their functions are called.
The test beside (tests/diffusion/parity_test.cpp) sets our options from `config` and compares x.
"""
import argparse
import ast
import contextlib
import importlib.util
import io
import json
import math
import sys
import types

import torch

torch.set_default_dtype(torch.float64)
torch.Tensor.float = lambda self: self  # the adaptive solver rounds its step sizes to float32 for no reason

MIXTURE = dict(
    weight=[0.4, 0.35, 0.25],
    mean=[[-0.7, 0.4], [0.5, 0.6], [0.3, -0.8]],
    std=[[0.2, 0.3], [0.25, 0.15], [0.3, 0.2]],
)
X_T = [0.6, -1.1]
ALL_STEPS = list(range(5, 51))
FEW_STEPS = [5, 6, 7, 8, 9, 10, 12, 15, 20, 35, 50]


def predict_eps(x, alpha, sigma):
    """eps = -sigma * score of sum_k w_k N(alpha mu_k, alpha^2 s_k^2 + sigma^2), channel by channel."""
    w, mu, s = (torch.tensor(MIXTURE[k]) for k in ("weight", "mean", "std"))
    v = (alpha * s) ** 2 + sigma**2  # [K, C]
    d = x.reshape(1, -1) - alpha * mu  # [K, C]
    log_p = torch.log(w) - 0.5 * (d**2 / v + torch.log(v)).sum(1)
    r = torch.softmax(log_p, 0)[:, None]
    return (sigma * (r * d / v).sum(0)).reshape(x.shape)


def load(path, name, stubs=()):
    for stub in stubs:
        sys.modules.setdefault(stub, types.ModuleType(stub))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_functions(path, names):
    """Some functions of a file whose other imports are not installed."""
    tree = ast.parse(open(path).read())
    wanted = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    for node in wanted:
        node.decorator_list = []
    space = dict(torch=torch, math=math, trange=lambda n, disable=None: range(n),
                 utils=types.SimpleNamespace(append_dims=lambda v, n: v.reshape(v.shape + (1,) * (n - v.ndim))))
    exec(compile(ast.Module(wanted, []), path, "exec"), space)
    return types.SimpleNamespace(**{n: space[n] for n in names})


GROUPS = []


def group(source, schedule, config, steps, run, diffusion=None):
    if source == "dpm-solver" and config.get("method", "multistep") == "multistep":
        config.setdefault("lower_order_final", "below_10")  # what that code means by True
    values = {}
    for n in steps:
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            x = run(n)
        values[str(n)] = [float(f"{v:.12e}") for v in x.reshape(-1).tolist()]
    GROUPS.append(dict(source=source, schedule=schedule, diffusion=diffusion or {}, config=config, x=values))
    print(source, schedule, config, len(steps))


def x_T():
    return torch.tensor(X_T).reshape(1, 2, 1, 1)


GRIDS = {"time_uniform": "uniform", "time_quadratic": "quadratic", "logSNR": "logsnr", "t2": "quadratic"}
SAMPLER = {"dpmsolver": "dpm_solver", "dpmsolver++": "dpm_solver_pp", False: "dpm_solver", True: "dpm_solver_pp"}


def scaled_linear():
    return torch.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2


def make_model(schedule):
    def model(x, t):
        t = t.reshape(-1)[:1]
        log_alpha = schedule.marginal_log_mean_coeff(t)
        return predict_eps(x, torch.exp(log_alpha), schedule.marginal_std(t))
    return model


def dpm_solver(path):
    official = load(path + "/dpm_solver_pytorch.py", "dpm_solver_new")
    linear = official.NoiseScheduleVP("linear")

    def run(schedule, algorithm, t_end=1e-3, **options):
        solver = official.DPM_Solver(make_model(schedule), schedule, algorithm_type=algorithm)
        return lambda n: solver.sample(x_T(), steps=n, t_start=1.0, t_end=t_end, **options)

    for algorithm in ("dpmsolver", "dpmsolver++"):
        for method in ("multistep", "singlestep", "singlestep_fixed"):
            for order in (1, 2, 3):
                for kind in ("dpmsolver", "taylor"):
                    if kind == "taylor" and (order == 1 or (method, order) == ("multistep", 3)):
                        continue  # the same as dpmsolver there
                    for skip in ("time_uniform", "time_quadratic", "logSNR"):
                        config = dict(sampler=SAMPLER[algorithm], method=method, order=order, solver_type=kind,
                                      grid=GRIDS[skip], t_end=1e-3)
                        steps = ALL_STEPS if kind == "dpmsolver" else FEW_STEPS
                        group("dpm-solver", "vp_linear", config, steps,
                              run(linear, algorithm, order=order, skip_type=skip, method=method, solver_type=kind))
        for order in (2, 3):
            for kind in ("dpmsolver", "taylor"):
                for atol, rtol in ((0.0078, 0.05), (1e-4, 1e-3)):
                    config = dict(sampler=SAMPLER[algorithm], method="adaptive", order=order, solver_type=kind,
                                  atol=atol, rtol=rtol, t_end=1e-3)
                    group("dpm-solver", "vp_linear", config, [1],
                          run(linear, algorithm, order=order, method="adaptive", solver_type=kind, atol=atol, rtol=rtol))
        config = dict(sampler=SAMPLER[algorithm], order=2, t_end=1e-3, grid="uniform", last_step="zero")
        group("dpm-solver", "vp_linear", config, FEW_STEPS,
              run(linear, algorithm, order=2, method="multistep", denoise_to_zero=True))
        config = dict(sampler=SAMPLER[algorithm], order=3, t_end=1e-3, grid="uniform", lower_order_final="never")
        group("dpm-solver", "vp_linear", config, FEW_STEPS,
              run(linear, algorithm, order=3, method="multistep", lower_order_final=False))
        for name, betas in (("scaled_linear", scaled_linear()), ("ddpm_linear", torch.linspace(1e-4, 0.02, 1000))):
            discrete = official.NoiseScheduleVP("discrete", betas=betas, dtype=torch.float64)
            for skip in ("time_uniform", "logSNR"):
                for method, order in (("multistep", 2), ("multistep", 3), ("singlestep", 3)):
                    config = dict(sampler=SAMPLER[algorithm], method=method, order=order, grid=GRIDS[skip])
                    group("dpm-solver", name, config, FEW_STEPS,
                          run(discrete, algorithm, order=order, skip_type=skip, method=method))
    threshold = dict(sampler="dpm_solver_pp", order=2, t_end=1e-3, grid="uniform", thresholding="dynamic",
                     thresholding_ratio=0.9, thresholding_max=0.5)

    def run_threshold(n):
        solver = official.DPM_Solver(make_model(linear), linear, algorithm_type="dpmsolver++",
                                     correcting_x0_fn=lambda x0, t: threshold_of(x0))
        return solver.sample(x_T(), steps=n, t_start=1.0, t_end=1e-3, order=2)

    def threshold_of(x0):  # the copy in U-ViT, which divides by s / max
        s = torch.quantile(x0.abs().reshape(1, -1), 0.9, dim=1).clamp(min=0.5).reshape(1, 1, 1, 1)
        return torch.clamp(x0, -s, s) / (s / 0.5)

    group("dpm-solver", "vp_linear", threshold, FEW_STEPS, run_threshold)


def uvit(path):
    pp = load(path + "/dpm_solver_pp.py", "dpm_solver_pp")
    for name, schedule, t_end in (
        ("vp_linear", pp.NoiseScheduleVP("linear"), 1e-3),
        ("vp_cosine", pp.NoiseScheduleVP("cosine"), 1e-3),
        ("scaled_linear", pp.NoiseScheduleVP("discrete", betas=scaled_linear()), 1e-3),
    ):
        for x0 in (False, True):
            for method in ("fast", "singlestep"):
                for order in (2, 3):
                    for kind in ("dpm_solver", "taylor"):
                        for skip in ("time_uniform", "t2", "logSNR"):
                            if (method, skip) == ("fast", "logSNR"):
                                continue  # steps as long as their order there, equally long here
                            if name != "vp_linear" and (skip == "t2" or kind == "taylor"):
                                continue
                            config = dict(sampler=SAMPLER[x0], order=order, grid=GRIDS[skip], t_end=t_end,
                                          method="singlestep" if method == "fast" else "singlestep_fixed",
                                          solver_type=kind.replace("_", ""),
                                          inner_grid="same" if method == "fast" else "logsnr")
                            solver = pp.DPM_Solver(make_model(schedule), schedule, predict_x0=x0)
                            group("U-ViT/dpm_solver_pp.py", name, config, FEW_STEPS,
                                  lambda n: solver.sample(x_T(), steps=n, eps=t_end, order=order, skip_type=skip,
                                                          method=method, solver_type=kind))
    old = load(path + "/dpm_solver_pytorch.py", "dpm_solver_old")
    schedule = old.NoiseScheduleVP("linear")
    solver = old.DPM_Solver(make_model(schedule), schedule)
    group("U-ViT/dpm_solver_pytorch.py", "vp_linear",
          dict(sampler="dpm_solver", method="singlestep", order=3, grid="logsnr", t_end=1e-4), ALL_STEPS,
          lambda n: solver.sample(x_T(), steps=n, eps=1e-4))
    for order in (1, 2, 3):
        for skip in ("time_uniform", "logSNR"):
            config = dict(sampler="dpm_solver", method="singlestep_fixed", order=order, grid=GRIDS[skip], t_end=1e-4,
                          inner_grid="logsnr")
            group("U-ViT/dpm_solver_pytorch.py", "vp_linear", config, FEW_STEPS,
                  lambda n: solver.sample(x_T(), steps=n, eps=1e-4, fast_version=False, order=order, skip_type=skip))

    sys.modules.setdefault("tqdm", types.SimpleNamespace(tqdm=None))
    sys.modules["absl"] = types.SimpleNamespace(logging=types.SimpleNamespace(debug=lambda *a: None))
    sde = load(path + "/sde.py", "sde")
    sde.tqdm = lambda items, **k: items
    for name, process in (("vp_linear", sde.VPSDE()), ("vp_cosine", sde.VPSDECosine())):
        t_max = {"vp_linear": 1.0, "vp_cosine": 0.9946}[name]

        class Model:
            pass

        model = Model()
        model.sde = process
        model.noise_pred = lambda x, t, **k: predict_eps(x, process.cum_alpha(t).sqrt(), process.cum_beta(t).sqrt())
        model.score = lambda x, t, **k: -model.noise_pred(x, t) / process.cum_beta(t).sqrt()
        for sampler, equation in (("euler_maruyama", sde.ReverseSDE(model)), ("euler", sde.ODE(model))):
            def run(n):
                generator = torch.Generator().manual_seed(7)
                with patched_noise(generator):
                    return sde.euler_maruyama(equation, x_T(), n, T=t_max)
            if sampler == "euler":
                equation.diffusion = lambda t: torch.zeros(())
            group("U-ViT/sde.py", name, dict(sampler=sampler), [5, 10, 50, 200], run)


@contextlib.contextmanager
def patched_noise(generator):
    """Noise as uvic draws it: float32, from one generator per picture."""
    original = torch.randn_like
    torch.randn_like = lambda x: torch.empty(x.shape[1:], dtype=torch.float32).normal_(generator=generator)[None].to(x)
    try:
        yield
    finally:
        torch.randn_like = original


def unipc(path):
    official = load(path + "/uni_pc.py", "uni_pc")
    schedule = official.NoiseScheduleVP("linear")
    for variant in ("bh1", "bh2"):
        for algorithm in ("data_prediction", "noise_prediction"):
            for order in (1, 2, 3):
                for skip in ("time_uniform", "time_quadratic", "logSNR"):
                    config = dict(sampler="unipc", unipc_variant=variant, order=order, grid=GRIDS[skip], t_end=1e-3,
                                  unipc_model="x0" if algorithm == "data_prediction" else "eps")
                    solver = official.UniPC(make_model(schedule), schedule, algorithm_type=algorithm, variant=variant)
                    group("UniPC", "vp_linear", config, FEW_STEPS,
                          lambda n: solver.sample(x_T(), steps=n, t_start=1.0, t_end=1e-3, order=order, skip_type=skip))


def k_diffusion(path):
    names = ["to_d", "sample_heun", "sample_dpmpp_2m_sde"]
    official = load_functions(path + "/k_diffusion/sampling.py", names)

    def denoised(x, sigma):
        return x - sigma[0] * predict_eps(x, torch.ones(()), sigma[0])

    def karras(n, zero=True):
        rho, low, high = 7, 0.002, 80
        ramp = torch.linspace(0, 1, n)
        sigmas = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        return torch.cat([sigmas, torch.zeros(1)]) if zero else sigmas

    start = x_T() * 80
    for churn in (0, 10):
        options = dict(s_churn=churn, s_tmin=0.05, s_tmax=50, s_noise=1.003) if churn else {}

        def run(n):
            generator = torch.Generator().manual_seed(7)
            original = torch.randn_like
            with patched_noise(generator):
                draw = torch.randn_like
                pending = []  # k-diffusion draws in every step; uvic where there is churn
                torch.randn_like = lambda x: Lazy(lambda: draw(x))
                return official.sample_heun(denoised, start, karras(n), **options)
        group("k-diffusion", "edm", dict(sampler="heun", **options), [5, 10, 18, 40], run)
    for order_name, solver_type in (("dpmsolver", "midpoint"), ("taylor", "heun")):
        def run(n):
            generator = torch.Generator().manual_seed(7)
            with patched_noise(generator):
                draw = torch.randn_like
                return official.sample_dpmpp_2m_sde(denoised, start, karras(n + 1, zero=False), solver_type=solver_type,
                                                    noise_sampler=lambda a, b: draw(start))
        config = dict(sampler="dpm_solver_pp_sde", order=2, grid="karras", solver_type=order_name,
                      lower_order_final="never")
        group("k-diffusion", "edm", config, [5, 10, 18, 40], run)


class Lazy:
    """A draw that happens where it is used."""

    def __init__(self, draw):
        self.draw = draw

    def __mul__(self, other):
        return Lazy(lambda: self.draw() * other) if not isinstance(other, torch.Tensor) else self.draw() * other


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    for name in ("dpm_solver", "uvit", "unipc", "k_diffusion"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    dpm_solver(options.dpm_solver)
    uvit(options.uvit)
    unipc(options.unipc)
    k_diffusion(options.k_diffusion)
    text = json.dumps(dict(mixture=MIXTURE, x_T=X_T, groups=GROUPS), separators=(",", ":"))
    with open(options.out, "w") as f:
        f.write(text.replace('{"source"', '\n{"source"') + "\n")
    print(len(GROUPS), "groups,", sum(len(g["x"]) for g in GROUPS), "samples,", len(text), "bytes")


main()
