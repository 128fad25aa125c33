"""The style sheet of the report's page: both colour schemes, one or two columns."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --paper: #fff; --ground: #f4f5f7; --ink: #1c2128; --soft: #59636e; --grid: #e3e6ea; --good: #1a7f37; --bad: #c62a2f;
  --s0: #2563c9; --s1: #c2570c; --s2: #14804a; --s3: #9333a8; --s4: #8a6d00; --s5: #0e7490;
  --queue: #c9ced6; --tokenise: #8db4ee; --engine: #f2b36b; --post: #86cfa5; --steps: #7fd0d6; --transfers: #cfb0e6;
  --wire: #e8d28c; --on: #1c2128; --bar: #8db4ee; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #1b2027; --ground: #12161b; --ink: #e6eaef; --soft: #9aa5b1; --grid: #2c333c;
  --good: #57c46f; --bad: #ff7b72;
  --s0: #79b0ff; --s1: #ffa657; --s2: #56d08f; --s3: #d59cf0; --s4: #e3c34f; --s5: #5ecbe0;
  --queue: #6b7480; --tokenise: #4d83cc; --engine: #c27f2e; --post: #3f9a66; --steps: #2f8f97; --transfers: #8f64b0;
  --wire: #a58d35; --on: #fff; --bar: #4d83cc; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, "Noto Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 40px; }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0 0 8px; overflow-wrap: anywhere; }
header p, footer { color: var(--soft); margin: 2px 0 16px; font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; }
.tile, figure, section, .remarks { background: var(--paper); border: 1px solid var(--grid); border-radius: 8px; }
.tile { padding: 10px 12px; display: flex; flex-direction: column; }
.tile b { font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span, .tile i { color: var(--soft); font-size: 12px; font-style: normal; }
.good { color: var(--good); } .bad { color: var(--bad); }
.remarks { list-style: none; margin: 10px 0; padding: 8px 12px; font-size: 13px; overflow-wrap: anywhere; }
.remarks li { padding: 2px 0; }
.plots > div { display: grid; gap: 10px; align-content: start; min-width: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 548px), 1fr)); gap: 10px; }
figure, section { margin: 0; padding: 12px 13px; min-width: 0; }
section { margin-top: 10px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; color: var(--soft); font-size: 12px; margin-bottom: 10px; }
.key::before { content: ""; display: inline-block; width: 11px; height: 11px; margin-right: 5px; border-radius: 2px;
  background: var(--key); vertical-align: -1px; }
.key.solid::before, .key.dashed::before { background: none; border-radius: 0; height: 0; width: 18px;
  vertical-align: 4px; border-top: 2px solid var(--soft); }
.key.dashed::before { border-top-style: dashed; }
.key.edge::before { background: var(--soft); width: 1px; height: 12px; }
.key.average::before { background: var(--bad); width: 2px; height: 12px; }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, "Noto Sans", sans-serif; }
svg text { fill: var(--ink); font-variant-numeric: tabular-nums; }
svg text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
svg .unit { fill: var(--soft); } svg .on { fill: var(--on); font-size: 11px; stroke: none; }
.grid { stroke: var(--grid); } .bucket { stroke: var(--soft); opacity: .55; }
.mean { stroke: var(--bad); stroke-width: 1.5; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.dashed { stroke-dasharray: 5 4; stroke-width: 1.3; }
.mark { stroke-width: 1.6; }
.narrow { display: none; }
@media (max-width: 620px) { .wide { display: none; } .narrow { display: block; } main { padding: 12px 8px 32px; } }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th { color: var(--soft); font-weight: 600; } tr > :first-child { text-align: left; padding-left: 0; }
tbody tr:last-child td { border-bottom: 0; }
footer { margin-top: 16px; }
@media print { body { background: none; } .scroll { overflow: visible; } }
"""
