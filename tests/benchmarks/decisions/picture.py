"""The cells of a run as one picture: `python tests/benchmarks/decisions/picture.py decisions.jsonl decisions.svg`.

A panel for each cold start, of the first cell's hardware; a point for each policy: GPU-hours over the oracle's, and the share of requests that missed,
in the mean over the traces that all policies of the panel were run on. Bars go from the least to the most of the seeds,
where there is more than one. Nearer to the lower left corner is better, and whoever has nobody there is on the edge.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

WIDTH, HEIGHT, EDGE = 620, 420, 60  # pixels of a panel
MOST_HOURS, MOST_MISSES = 8.0, 30.0  # what lies beyond is drawn at the edge, with its figures
COLOURS = ("#0b6e4f", "#c1121f", "#1d4e89", "#f18f01", "#7b2d8b", "#5f6c7b", "#8d6a00", "#2a9d8f", "#b5179e", "#444444")


def means(cells):
    """{policy: [(hours over the oracle's, share of misses), one of each seed]} over the traces that all were run on."""
    found = defaultdict(dict)
    for one in cells:
        found[one["policy"], one["seed"]][one["trace"]] = one["hours"], 1 - one["share"]
    oracle = found.get(("oracle", 1), {})
    first = [traces for (policy, seed), traces in found.items() if seed == 1]
    shared = set(oracle).intersection(*first) if first else set()
    result = defaultdict(list)
    for (policy, seed), traces in found.items():
        if not shared or not shared <= set(traces):
            continue
        base = found.get(("oracle", seed), oracle)
        known = base if shared <= set(base) else oracle
        hours = sum(traces[name][0] for name in shared) / sum(known[name][0] for name in shared)
        result[policy].append((hours, sum(traces[name][1] for name in shared) / len(shared)))
    return result, sorted(shared)


def place(hours, misses):
    """Pixels of a point, with square roots on both axes so that the small ones can be told apart."""
    x = EDGE + (WIDTH - 2 * EDGE) * (min(hours, MOST_HOURS) / MOST_HOURS) ** 0.5
    y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (min(100 * misses, MOST_MISSES) / MOST_MISSES) ** 0.5
    return x, y


def panel(startup, cells, left, colours):
    """One cold start's picture."""
    found, shared = means(cells)
    parts = [
        f'<g transform="translate({left},0)">',
        text(EDGE, 20, f"cold start {startup:g} s, {len(shared)} traces", 13),
    ]
    for hours in (0.5, 1, 2, 4, 8):
        x, y = place(hours, 0)
        parts += [line(x, y, x, EDGE, "#dddddd"), text(x - 6, y + 16, f"{hours:g}")]
    for misses in (0, 0.01, 0.05, 0.1, 0.3):
        x, y = place(0, misses)
        parts += [line(x, y, WIDTH - EDGE, y, "#dddddd"), text(8, y + 4, f"{100 * misses:g} %")]
    parts.append(text(EDGE, HEIGHT - 10, "GPU-hours over the oracle's; upwards: requests that missed"))
    for policy, seeds in sorted(found.items()):
        hours, misses = (sum(one[axis] for one in seeds) / len(seeds) for axis in (0, 1))
        x, y = place(hours, misses)
        colour = colours[policy]
        (x0, _), (x1, _) = (place(pick(one[0] for one in seeds), misses) for pick in (min, max))
        (_, y0), (_, y1) = (place(hours, pick(one[1] for one in seeds)) for pick in (min, max))
        parts += [line(x0, y, x1, y, colour), line(x, y0, x, y1, colour)]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(text(x + 6, y - 5, f"{policy}: {100 * misses:.1f} %, {hours:.2f}", colour=colour))
    return [*parts, "</g>"]


def line(x0, y0, x1, y1, colour):
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"/>'


def text(x, y, words, size=10, colour="#222222"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{words}</text>'


def main():
    source, target = map(Path, sys.argv[1:3])
    everything = [json.loads(row) for row in source.read_text().splitlines()]
    cells = [one for one in everything if one["hardware"] == everything[0]["hardware"]]
    names = sorted({one["policy"] for one in cells})
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    startups = sorted({one["startup"] for one in cells if one["policy"] == "oracle"})
    parts = []
    for number, startup in enumerate(startups):
        parts += panel(startup, [one for one in cells if one["startup"] == startup], number * WIDTH, colours)
    size = f'width="{WIDTH * len(startups)}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    ground = f'<rect {size} fill="white"/>'
    target.write_text("\n".join([head, ground, *parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
