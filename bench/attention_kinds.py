"""The figure of docs/attention.md: python3 bench/attention_kinds.py > docs/attention_kinds.svg

A query sees four keys. Three have the score 1, the fourth the score s. Each line is the weight of the fourth, by the
formulas of model/attention/attention.h.
"""
import math

KEYS = 3  # besides the one that moves, with score 1


def u(s):
    return s * s / (1 + s * s)


KINDS = [  # name, weight of the moving key, colour, dash
    ("softmax (gated: times its gate)", lambda s: math.exp(s) / (math.exp(s) + KEYS * math.e), "#0072b2", ""),
    ("softmax_one", lambda s: math.exp(s) / (1 + math.exp(s) + KEYS * math.e), "#56b4e9", "7 3"),
    ("cog", lambda s: (s > 0) * 2 * math.exp(abs(s)) / (math.exp(abs(s)) + KEYS * math.e) -
     (s != 0) * math.exp(abs(s)) / (math.exp(abs(s)) + KEYS * math.e), "#d55e00", ""),
    ("expressive", lambda s: u(s) / (u(s) + KEYS * u(1)), "#009e73", "2 3"),
    ("extensive", lambda s: u(s), "#cc79a7", "9 3 2 3"),
    # The second softmax sees equal scores; fresh weights of the first block, l = 0.2; before the norm.
    ("differential", lambda s: math.exp(s) / (math.exp(s) + KEYS * math.e) - 0.2 / (KEYS + 1), "#6b4c9a", "4 2"),
]
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 58, 628, 96, 352, 640, 396


def main():
    def x(s):
        return LEFT + (s + 4) / 8 * (RIGHT - LEFT)

    def y(w):
        return BOTTOM - (w + 1) / 2 * (BOTTOM - TOP)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12.5" '
           'font-family="system-ui, \'Segoe UI\', Roboto, \'Helvetica Neue\', Arial, sans-serif">',
           "<title>Weight of one key against its score, for each attention kind</title>",
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for i, (name, _, colour, dash) in enumerate(KINDS):
        left, line = 10 + 310 * (i % 2), 14 + 20 * (i // 2)
        out.append(f'<line x1="{left}" y1="{line}" x2="{left + 28}" y2="{line}" stroke="{colour}" stroke-width="2.4" '
                   f'stroke-dasharray="{dash}"/>')
        out.append(f'<text x="{left + 36}" y="{line + 4}" fill="#1b1f24">{name}</text>')
    for w in (-1, -0.5, 0, 0.5, 1):
        out.append(f'<line x1="{LEFT}" y1="{y(w):.1f}" x2="{RIGHT}" y2="{y(w):.1f}" stroke="#e3e6ea"/>')
        out.append(f'<text x="{LEFT - 7}" y="{y(w) + 4:.1f}" text-anchor="end" fill="#5b6570">{w:g}</text>')
    for s in range(-4, 5, 2):
        out.append(f'<text x="{x(s):.1f}" y="{BOTTOM + 18}" text-anchor="middle" fill="#5b6570">{s}</text>')
    out.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 38}" text-anchor="middle" fill="#1b1f24">score s of the key; '
               'three others have score 1</text>')
    out.append(f'<text x="14" y="{(TOP + BOTTOM) / 2}" transform="rotate(-90 14 {(TOP + BOTTOM) / 2})" '
               'text-anchor="middle" fill="#1b1f24">weight</text>')
    for _, weight, colour, dash in KINDS:
        for part in ([s / 20 for s in range(-80, 0)] + [-1e-9], [1e-9] + [s / 20 for s in range(1, 81)]):
            points = " ".join(f"{x(s):.1f},{y(weight(s)):.1f}" for s in part)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.4" '
                       f'stroke-dasharray="{dash}"/>')
    print("\n".join([*out, "</svg>"]))


main()
