"""Other tools' formats, read as those tools read them."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from itertools import combinations

import networkx as nx
import pytest
from drawn import call, graph, node

from graph.export import FORMATS
from graph.export.blocks import lay_out as in_blocks
from graph.export.layout import HEIGHT, WIDTH, lay_out
from graph.export.words import caption
from graph.model import Health, NodeKind, Outcome, Protocol
from graph.query import Found

EVIL = 'pay "<&>" \\ ] =1'
UNPRINTABLE = "a\x00b\x07\x1b[31m\ufffe"
"""What a client may well send as its name."""
SHOP = graph(
    call("web", "cart", 11, p95_ms=10.0, error_ratio=0.0909, health=Health.DEGRADED,
         outcomes={Outcome("200", "", "-"): 100.0, Outcome("503", "", "UF"): 10.0}),
    call("cart", "redis", 100, protocol=Protocol.TCP),
    call("cart", "web", 0),
    call("cart", "cart", 1),
    call("web", "redis", 1, protocol=Protocol.TCP),
    call("web", "evil", 1, service="=shop/pay"),
    nodes=[
        node("cart", health=Health.DEGRADED, version="v1"),
        node("redis", kind=NodeKind.DATABASE, namespace="data"),
        node("evil", kind=NodeKind.EXTERNAL, label=EVIL, namespace="@out"),
        node("alone"),
    ],
)  # fmt: skip
NOTHING = Found(frozenset(), frozenset())
FOUND = Found(frozenset({"cart"}), frozenset({"web>cart>http"}))


def written(form, found=NOTHING):
    return FORMATS[form](SHOP, found)


def test_graphml_is_read_by_networkx_with_every_figure():
    read = nx.parse_graphml(written("graphml", FOUND))
    assert read.nodes["evil"]["label"] == EVIL
    assert {id_ for id_, facts in read.nodes(data=True) if facts["found"]} == {"cart"}
    (facts,) = (facts for *ends, facts in read.edges(data=True) if ends == ["web", "cart"])
    assert (facts["rate"], facts["p95_ms"], facts["health"], facts["found"]) == (11, 10, "degraded", True)
    assert len(read.edges) == len(SHOP.edges)


DOT = re.compile(
    r"""\s*(?:digraph\ mesh\ \{ | rankdir=LR; | subgraph\ cluster_\d+\ \{ | \}
    | label="(?:[^"\\]|\\.)*";
    | (?:node|"(?:[^"\\]|\\.)*"(?:\ ->\ "(?:[^"\\]|\\.)*")?)\ \[(?:\w+=(?:\w+|"(?:[^"\\]|\\.)*")(?:,\ )?)+\];)\s*""",
    re.VERBOSE,
)


def test_dot_keeps_to_graphviz_grammar_whatever_names_hold():
    text = written("dot", FOUND)
    assert [line for line in text.splitlines() if line and not DOT.fullmatch(line)] == []
    assert text.count(" -> ") == len(SHOP.edges)
    assert text.count("{") == text.count("}") == 4
    assert r"pay \"<&>\" \\ ] =1" in text
    assert "penwidth=4" in text


MERMAID = re.compile(
    r"""\s*(?:flowchart\ LR | subgraph\ s\d+\["[^"\[\]]*"\] | end | n\d+\["[^"\[\]<>]*"\]
    | n\d+\ (?:-->|-\.->)\|"[^"|]*"\|\ n\d+ | classDef\ \w+\ [\w:#,-]+ | class\ n\d+(?:,n\d+)*\ \w+
    | linkStyle\ \d+(?:,\d+)*\ [\w:#,-]+)""",
    re.VERBOSE,
)


def test_mermaid_keeps_to_its_grammar_whatever_names_hold():
    text = written("mermaid", FOUND)
    assert [line for line in text.splitlines() if line and not MERMAID.fullmatch(line)] == []
    assert "#60;#38;#62;" in text
    assert "linkStyle 0 stroke" in text


def test_csv_has_a_row_per_edge_and_no_formulas():
    text = written("csv", FOUND)
    assert text.count("\r\n") == len(SHOP.edges) + 1
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert (rows[0]["rate"], rows[0]["codes"], rows[0]["flags"], rows[0]["found"]) == (
        "11",
        "200:100 503:10",
        "UF:10",
        "1",
    )
    assert rows[0]["p50_ms"] == ""
    assert (rows[5]["target_label"], rows[5]["target_namespace"], rows[5]["service"]) == (EVIL, "'@out", "'=shop/pay")
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_svg_draws_every_node_edge_and_namespace():
    drawing = ET.fromstring(written("svg"))
    texts = [one.text for one in drawing.findall(".//{*}text")]
    assert {"web", "cart v1", "redis", "shop", "data", EVIL} <= set(texts)
    titles = [one.text for one in drawing.findall(".//{*}title")]
    assert sorted(titles) == sorted([*SHOP.nodes, *SHOP.edges])
    marked = ET.fromstring(written("svg", FOUND))
    assert len(marked.findall(".//{*}rect")) == len(drawing.findall(".//{*}rect")) + 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_graph_without_anything_is_still_a_document(form):
    assert FORMATS[form](graph(), NOTHING)


@pytest.mark.parametrize("arrange", [lay_out, in_blocks])
def test_nothing_in_a_drawing_covers_a_node_and_boxes_hold_their_own(arrange):
    layout = arrange(SHOP)
    for one, other in combinations(layout.nodes.values(), 2):
        assert abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= HEIGHT
    for box in layout.boxes:
        inside = {id_ for id_, one in SHOP.nodes.items() if (one.cluster, one.namespace) == box.band}
        for id_, corner in layout.nodes.items():
            left = corner.x - box.corner.x
            top = corner.y - box.corner.y
            assert (id_ in inside) == (0 <= left <= box.width - WIDTH and 0 <= top <= box.height - HEIGHT)


def test_callers_stand_left_of_whom_they_call():
    nodes = lay_out(SHOP).nodes
    assert nodes["redis"].x > nodes["cart"].x


def test_a_drawing_of_a_crowd_can_still_be_read():
    calls = [(number, (number * 7 + step) % 400) for number in range(400) for step in (1, 2, 3)]
    bad = {"n7": Health.FAILURE, "n9": Health.DEGRADED}
    edges = [call(f"n{one}", f"n{other}", 5, health=bad.get(f"n{one}", Health.HEALTHY)) for one, other in calls]
    crowd = graph(*edges, nodes=[node(f"n{number}", namespace=f"team{number // 40}") for number in range(400)])
    drawing = ET.fromstring(FORMATS["svg"](crowd, NOTHING))
    assert {one.text for one in drawing.findall(".//{*}text")} >= {*crowd.nodes, *(f"team{one}" for one in range(10))}
    assert max(float(drawing.attrib["width"]), float(drawing.attrib["height"])) < 4000
    told = {one.text for one in drawing.findall(".//{*}title")} - set(crowd.nodes)
    assert told == {edge.id for edge in crowd.edges.values() if edge.source in bad}


def test_a_caption_says_what_flows():
    assert caption(SHOP.edges["web>cart>http"]) == "11.0/s, 9.1% errors, p95 10 ms"
    assert caption(SHOP.edges["cart>redis>tcp"]) == "0.1 kB/s"
    assert caption(SHOP.edges["cart>web>http"]) == "no traffic"


def test_readers_get_over_names_that_hold_control_characters():
    told = graph(
        call("web", UNPRINTABLE, 1, service=UNPRINTABLE), nodes=[node(UNPRINTABLE, namespace=UNPRINTABLE), node("web")]
    )
    texts = {form: write(told, NOTHING) for form, write in FORMATS.items()}
    read = nx.parse_graphml(texts["graphml"])
    assert {facts["label"] for _, facts in read.nodes(data=True)} == {"web", "a\ufffdb\ufffd\ufffd[31m\ufffd"}
    assert len(ET.fromstring(texts["svg"]).findall(".//{*}title")) == 3
    assert not {"\x00", "\x07", "\x1b"} & set("".join(texts.values()))
