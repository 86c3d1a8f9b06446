"""Writes the board for Grafana: `deploy/grafana/dashboards/topup.json`."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ops.watch.declared import all_metrics, names_in
from ops.watch.panels import Panel
from ops.watch.shown import ROWS

Json = dict[str, Any]

_SOURCE: Final[Json] = {"type": "prometheus", "uid": "${source}"}
_COLUMNS: Final = 24
_HEIGHT: Final = 8
_HEIGHT_OF_STATS: Final = 4
_CALM: Final = "green"
_BAD: Final = "red"


def board() -> str:
    """Return the board as Grafana's file provisioning reads it."""
    made: Json = {
        "uid": "topup",
        "title": "topup",
        "description": "Where every topup and every cent is; made by `make watch`.",
        "tags": ["topup"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source_variable()]},
        "panels": list(_panels()),
    }
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def _source_variable() -> Json:
    return {
        "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }  # fmt: skip


def _panels() -> Iterator[Json]:
    """Yield rows and their panels, from left to right, each below what stands above it."""
    number = top = 0
    for row in ROWS:
        number += 1
        yield {
            "id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": top},
        }  # fmt: skip
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            number += 1
            own = _HEIGHT_OF_STATS if _is_low(row.panels) else _HEIGHT
            yield _panel(panel, number, {"h": own, "w": panel.width, "x": left, "y": top})
            left, height = left + panel.width, max(height, own)
        top += height


def _is_low(panels: tuple[Panel, ...]) -> bool:
    return all(panel.kind == "stat" for panel in panels)


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about or _told_by(panel),
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query.expr,
                "legendFormat": query.legend, "editorMode": "code", "range": True,
            }
            for at, query in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _told_by(panel: Panel) -> str:
    """Return what the first metric of the first query says of itself."""
    names = names_in(panel.queries[0].expr)
    told = [metric.about for metric in all_metrics() if names & set(metric.samples)]
    assert told, f"the panel {panel.title!r} shows no metric of ours: say what it is"
    return told[0]


_LEGEND: Final[Json] = {"displayMode": "list", "placement": "bottom", "showLegend": True}
_OPTIONS: Final[dict[str, Json]] = {
    "stat": {
        "colorMode": "value", "graphMode": "area", "textMode": "auto", "justifyMode": "center",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "state-timeline": {
        "legend": {**_LEGEND, "showLegend": False}, "mergeValues": True, "showValue": "never",
        "rowHeight": 0.8, "tooltip": {"mode": "single", "sort": "none"},
    },
}  # fmt: skip


def _defaults(panel: Panel) -> Json:
    drawn: Json = {"unit": panel.unit, "min": 0, "color": {"mode": "palette-classic"}}
    if panel.maximum is not None:
        drawn["max"] = panel.maximum
    if panel.kind == "timeseries":
        drawn["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "showPoints": "never", "spanNulls": False,
            "fillOpacity": 30 if panel.stacked else 5,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }  # fmt: skip
        return drawn
    drawn["color"] = {"mode": "thresholds"}
    drawn["thresholds"] = {"mode": "absolute", "steps": _steps(panel)}
    if panel.kind == "state-timeline":
        drawn["custom"] = {"fillOpacity": 70, "lineWidth": 0}
    return drawn


def _steps(panel: Panel) -> list[Json]:
    if panel.bad_below is not None:
        return [{"color": _BAD, "value": None}, {"color": _CALM, "value": panel.bad_below}]
    steps: list[Json] = [{"color": _CALM, "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": _BAD, "value": panel.bad_from})
    return steps
