#!/usr/bin/env python3
"""How close two extrapolations to infinitely many samples come to the truth, on Gaussian features of known distance.

    OMP_NUM_THREADS=1 python3 bench/fid_infinity.py

jackknife: what `uvic fid` reports, 10 d - 9 mean(d without a tenth), from one pass and constant memory. line: a straight
line through (1 / n, d) at 15 sizes n from N / 10 to N of random subsets (Chong and Forsyth 2020, arXiv 1911.07023), which
keeps every feature. The reference is exact here, so that only the samples are finite.
"""
import numpy as np


def distance(x, mean, covariance):
    eigenvalues = np.linalg.eigvalsh(covariance_root(covariance) @ np.cov(x, rowvar=False) @ covariance_root(covariance))
    return (
        ((x.mean(0) - mean) ** 2).sum()
        + np.trace(np.cov(x, rowvar=False))
        + np.trace(covariance)
        - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum()
    )


def covariance_root(covariance):
    return np.diag(np.sqrt(np.diag(covariance)))  # diagonal ones alone are used


def main():
    random = np.random.default_rng(0)
    print("| features | images | true | plain | jackknife | line |\n|---|---|---|---|---|---|")
    for d, count, draws in ((32, 1000, 40), (64, 1000, 40), (128, 2000, 20), (256, 5000, 10)):
        scale, shift = random.uniform(0.5, 2, d), random.normal(0, 0.3, d)
        mean, covariance = np.zeros(d), np.eye(d)
        truth = (shift**2).sum() + ((scale - 1) ** 2).sum()
        found = {"plain": [], "jackknife": [], "line": []}
        for _ in range(draws):
            x = random.standard_normal((count, d)) * scale + shift
            whole = distance(x, mean, covariance)
            parts = np.arange(count) % 10
            without = np.mean([distance(x[parts != k], mean, covariance) for k in range(10)])
            sizes = np.linspace(count / 10, count, 15).astype(int)
            values = [distance(x[random.permutation(count)[:n]], mean, covariance) for n in sizes]
            found["plain"].append(whole)
            found["jackknife"].append(10 * whole - 9 * without)
            found["line"].append(np.polyfit(1 / sizes, values, 1)[1])
        cells = [f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in found.values()]
        print(f"| {d} | {count} | {truth:.3f} | " + " | ".join(cells) + " |", flush=True)


main()
