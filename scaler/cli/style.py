"""How the pages look that commands write: plain, in a light and a dark theme, nothing fetched."""

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfd; --card: #ffffff; --ink: #1c1e26; --dim: #6a7080; --line: #e3e6ee;
  --blue: #2f6fed; --violet: #9b4dca; --teal: #0d9488; --green: #2e9e5b; --amber: #d98a04; --red: #d64545; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161c; --card: #1c1f28; --ink: #e7e9f0; --dim: #98a0b3;
  --line: #2d3240; --blue: #6ea0ff; --violet: #c58af0; --teal: #3fc7ba; --green: #57c785; --amber: #f0b34a;
  --red: #f07878; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 15px; margin: 0 0 6px; }
p { margin: 0 0 20px; color: var(--dim); } section p { margin: 8px 0 0; font-size: 13px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
  margin: 0 0 16px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 0 0 16px; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tiles b { display: block; font-size: 24px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles span, .key { color: var(--dim); font-size: 13px; font-weight: 400; }
.key i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin: 0 5px 0 14px; }
svg { display: block; width: 100%; height: auto; min-width: 640px; }
text { fill: var(--dim); font-size: 11px; } text.what { stroke: var(--card); stroke-width: 3px; paint-order: stroke; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--dim); font-weight: 500; font-size: 13px; } tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; white-space: nowrap; } .first td { font-weight: 600; }
"""
