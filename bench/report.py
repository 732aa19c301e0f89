"""From the rounds' figures to medians, ratios, the promises, a table and a chart."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from measure import SCENARIOS

REFERENCE = "nginx+uwsgi"
OURS = "handclasp"


@dataclass(frozen=True)
class Promise:
    text: str
    scenario: str  # or "idle"
    against: str  # a floor, a server, or "" for a figure of its own
    limit: float
    aim: float | None = None


PROMISES = [
    Promise("hello on a kept connection against the application in process", "kept", "in_process", 1.7, 1.4),
    Promise("hello on a kept connection against nginx + uWSGI", "kept", REFERENCE, 0.7),
    Promise("hello on a kept connection against granian", "kept", "granian", float("inf"), 1.0),
    Promise("full handshake and a request against the library alone", "full", "full", 1.4, 1.2),
    Promise("resumed and a request, TLS 1.3, against nginx + uWSGI", "resumed_tls13", REFERENCE, 0.5, 0.4),
    Promise("resumed and a request, TLS 1.2, against nginx + uWSGI", "resumed_tls12", REFERENCE, 0.5, 0.4),
    Promise("memory of an idle connection, in KB", "idle", "", 30, 25),
]


def of_rounds(results: dict, server: str, scenario: str, figure: str = "cpu_us") -> list[float | None]:
    return [r["servers"].get(server, {}).get(scenario, {}).get(figure) for r in results["rounds"]]


def middle(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


def ratio(results: dict, scenario: str, server: str, against: str) -> float | None:
    """Within each round, then the median: both sides had the same machine."""
    ours = of_rounds(results, server, scenario)
    if against in results["labels"]:
        theirs = of_rounds(results, against, scenario)
    else:
        theirs = [r["floors"].get(against) for r in results["rounds"]]
    return middle([a / b for a, b in zip(ours, theirs, strict=True) if a is not None and b])


def promised(results: dict, p: Promise) -> dict:
    if p.scenario == "idle":
        each = results["idle"].get(OURS, {}).get("bytes_each")
        value = each / 1024 if each is not None else None
    else:
        value = ratio(results, p.scenario, OURS, p.against)
    said = {"promise": p.text, "value": value, "limit": p.limit if p.limit != float("inf") else None, "aim": p.aim}
    said["met"] = value <= p.limit if value is not None else None
    said["aim_met"] = value <= p.aim if value is not None and p.aim is not None else None
    return said


def summarize(results: dict) -> dict:
    servers = {}
    for name in results["labels"]:
        servers[name] = {}
        for s in SCENARIOS:
            figures = {
                f: middle(of_rounds(results, name, s.name, f)) for f in ("cpu_us", "per_second", "p50_us", "p99_us")
            }
            rounds = [r["servers"][name][s.name] for r in results["rounds"]]
            done = sum(r["done"] for r in rounds)
            figures["done"] = done
            figures["failed"] = sum(r["failed"] for r in rounds)
            figures["resumed_share"] = sum(r["resumed"] for r in rounds) / done if done else 0
            figures["kept_share"] = 1 - min(1, sum(r["opened"] for r in rounds) / done) if done else 0
            figures["to_floor"] = ratio(results, s.name, name, s.floor) if s.floor else None
            figures["to_reference"] = (
                ratio(results, s.name, name, REFERENCE) if REFERENCE in results["labels"] else None
            )
            servers[name][s.name] = figures
    floors = {k: middle([r["floors"][k] for r in results["rounds"]]) for k in results["rounds"][0]["floors"]}
    return {"floors": floors, "servers": servers, "promises": [promised(results, p) for p in PROMISES]}


def all_promises_kept(results: dict) -> bool:
    """What could not be compared, because a peer is missing, is no failure."""
    return all(p["met"] is not False for p in results["summary"]["promises"])


def without_rounds(results: dict) -> dict:
    return {k: v for k, v in results.items() if k != "rounds"} | {"rounds": len(results["rounds"])}


# ---- the table


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def notes(figures: dict, scenario: str) -> str:
    found = []
    if figures["failed"]:
        found.append(f"{figures['failed']} failed")
    if scenario.startswith("resumed") and figures["resumed_share"] < 0.9:
        found.append(f"{figures['resumed_share']:.0%} resumed")
    if scenario in ("kept", "down", "up") and figures["kept_share"] < 0.5:
        found.append("keeps no connection")
    return ", ".join(found)


def scenario_table(results: dict, scenario) -> list[str]:
    summary = results["summary"]
    lines = [f"\n{scenario.label}"]
    lines.append(
        f"  {'':22}{'CPU µs':>9}{'/ floor':>9}{'/ nginx+uWSGI':>15}{'a second':>11}{'p50 µs':>9}{'p99 µs':>10}"
    )
    if scenario.floor:
        name = "in process" if scenario.floor == "in_process" else "OpenSSL alone"
        lines.append(f"  {name:22}{number(summary['floors'][scenario.floor]):>9}")
    servers = sorted(results["labels"], key=lambda n: summary["servers"][n][scenario.name]["cpu_us"] or 1e9)
    for name in servers:
        f = summary["servers"][name][scenario.name]
        lines.append(
            f"  {results['labels'][name]:22}{number(f['cpu_us']):>9}{number(f['to_floor'], 2):>9}"
            f"{number(f['to_reference'], 2):>15}{number(f['per_second']):>11}{number(f['p50_us']):>9}"
            f"{number(f['p99_us']):>10}  {notes(f, scenario.name)}".rstrip()
        )
    return lines


def idle_table(results: dict) -> list[str]:
    lines = ["\nidle connection after one request", f"  {'':22}{'KB each':>9}{'open':>14}"]
    for name, idle in sorted(results["idle"].items(), key=lambda item: item[1]["bytes_each"] or 1e12):
        each = idle["bytes_each"] / 1024 if idle["bytes_each"] is not None else None
        stalled = "" if idle["answers"] else "  no new connection is answered meanwhile"
        lines.append(f"  {results['labels'][name]:22}{number(each, 1):>9}{idle['open']:>7} of {idle['asked']}{stalled}")
    return lines


def text(results: dict) -> str:
    m = results["machine"]
    lines = [f"{m['cores']} cores, {m['cpu']}, Linux {m['kernel']}; CPU of the server's processes for each operation"]
    lines.append(", ".join(f"{k} {v}" for k, v in m["versions"].items()))
    for scenario in SCENARIOS:
        lines += scenario_table(results, scenario)
    lines += idle_table(results)
    unseen = [results["labels"][n] for n, s in results["client_known_by"].items() if not s]
    if unseen:
        lines.append(f"\nThe application cannot see the client's certificate under {', '.join(unseen)}.")
    lines.append("\npromises")
    for p in results["summary"]["promises"]:
        met = {True: "met", False: "NOT MET", None: "not measured"}[p["met"]] if p["limit"] is not None else ""
        aim = "" if p["aim"] is None else f"aim {p['aim']:g}" + (" reached" if p["aim_met"] else "")
        limit = "" if p["limit"] is None else f"<= {p['limit']:g}"
        lines.append(f"  {p['promise']:62}{number(p['value'], 2):>7}  {limit:8}{met:14}{aim}".rstrip())
    return "\n".join(lines)


# ---- the chart

CHARTED = [("kept", "Hello on a kept connection"), ("full", "New connection, full handshake")]
CHARTED += [("resumed_tls13", "New connection, resumed (TLS 1.3)")]
LABEL, BAR, ROW, GAP = 150, 330, 20, 46


def bar(x: int, y: float, width: float, label: str, value: str, ours: bool, floor: bool) -> str:
    kind = "ours" if ours else "floor" if floor else "peer"
    return (
        f'<text x="{x + LABEL - 8}" y="{y + 14:.0f}" class="name {kind}" text-anchor="end">{label}</text>'
        f'<rect x="{x + LABEL}" y="{y + 3:.0f}" width="{max(width, 1):.1f}" height="{ROW - 6}" class="{kind}"/>'
        f'<text x="{x + LABEL + max(width, 1) + 6:.1f}" y="{y + 14:.0f}" class="value">{value}</text>'
    )


def panel(results: dict, scenario: str, title: str, y: int) -> tuple[str, int]:
    summary = results["summary"]
    floor_name = next(s.floor for s in SCENARIOS if s.name == scenario)
    floor_label = "application alone" if floor_name == "in_process" else "OpenSSL alone"
    rows = [(floor_label, summary["floors"][floor_name], False, True)]
    for name, label in results["labels"].items():
        value = summary["servers"][name][scenario]["cpu_us"]
        if value is not None:
            rows.append((label, value, name == OURS, False))
    rows.sort(key=lambda r: (not r[3], r[1]))
    largest = max(r[1] for r in rows)
    parts = [f'<text x="0" y="{y + 16}" class="title">{title}: µs of CPU each</text>']
    y += 26
    for label, value, ours, floor in rows:
        label = label.replace("&", "&amp;")
        parts.append(bar(0, y, value / largest * BAR, label, f"{value:,.0f}", ours, floor))
        y += ROW
    return "".join(parts) + "\n", y + GAP - ROW


STYLE = """text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600;font-size:13px;fill:#222}
.ours{fill:#0b7a5c}text.ours{font-weight:600}rect.peer{fill:#b9c2cc}rect.floor{fill:#dfe4e8}.value{fill:#666}
@media(prefers-color-scheme:dark){text{fill:#c9d1d9}.title{fill:#f0f3f6}text.ours,rect.ours{fill:#3fc79a}
rect.peer{fill:#545d68}rect.floor{fill:#373e47}.value{fill:#9aa4af}}"""


def chart(results: dict) -> str:
    body, y = "", 8
    for scenario, title in CHARTED:
        drawn, y = panel(results, scenario, title, y)
        body += drawn
    width = LABEL + BAR + 70
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img" '
        f'aria-label="CPU time of each server for one operation with two-way TLS; less is better">\n'
        f"<style>{STYLE}</style>\n{body}</svg>\n"
    )
