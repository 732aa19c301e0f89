"""What was promised of the figures that are measured by themselves, and whether it is kept."""

from __future__ import annotations


def judge(promised: list[tuple[str, str, float]], figures: dict) -> list[dict]:
    """Of (name of the figure, what it is, most that it may be)."""
    return [
        {"promise": text, "value": figures[name], "limit": limit, "met": figures[name] <= limit}
        for name, text, limit in promised
    ]


def lines(judged: list[dict]) -> list[str]:
    met = {True: "met", False: "NOT MET"}
    return [f"  {p['promise']:62}{p['value']:>11,.2f}  <= {p['limit']:<5g}{met[p['met']]}" for p in judged]
