"""The stream of Coq's server, cut anywhere; requests that it can read."""

from xml.etree import ElementTree

import pytest

from gflow.envs.proofs.coq.markup import Reader, add, escaped, flat, hypotheses_and_conclusion

STREAM = (
    b'Skipping rcfile loading.\n<feedback object="state" route="0"><state_id val="5"/>'
    b'<feedback_content val="message"><message><message_level val="notice"/><option val="none"/>'
    b"<richpp><_><pp>Closed&nbsp;under&nbsp;the&nbsp;global&nbsp;context</pp></_></richpp></message>"
    b'</feedback_content></feedback><value val="good"><option val="some"><goals><list><goal>'
    b"<string>4</string><list><richpp><_><pp>P,&nbsp;Q&nbsp;:&nbsp;<constr.type>Prop</constr.type>"
    b"</pp></_></richpp><richpp><_><pp>H&nbsp;:&nbsp;P&nbsp;/\\\n   Q</pp></_></richpp></list>"
    b'<richpp><_><pp>Q&nbsp;-&gt;&nbsp;\xe2\x88\x80</pp></_></richpp><option val="none"/></goal>'
    b"</list><list/><list/><list><goal><string>9</string><list/><richpp/><option/></goal></list>"
    b'</goals></option></value>\n<value val="fail" loc_s="1"><state_id val="3"/><richpp><_><pp>Not'
    b"&nbsp;found.</pp></_></richpp></value>"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_answers_are_the_same_however_the_stream_is_cut(size: int) -> None:
    """PF-3: the entity may be split between two reads."""
    reader, answers = Reader(), []
    for start in range(0, len(STREAM), size):
        answers += list(reader.feed(STREAM[start : start + size]))
    good, bad = answers
    assert good.good
    assert good.messages == ["Closed under the global context"]
    goals = good.goals()
    assert goals is not None
    assert [len(part) for part in goals] == [1, 0, 0, 1]
    assert hypotheses_and_conclusion(goals[0][0]) == (["P, Q : Prop", "H : P /\\ Q"], "Q -> ∀")
    assert not bad.good
    assert (bad.state, bad.error, bad.messages) == (3, "Not found.", [])
    assert bad.goals() is None


def test_requests_escape_three_letters_and_leave_quotes() -> None:
    assert escaped('a\' <-> b & "c"') == 'a\' &lt;-&gt; b &amp; "c"'
    read = ElementTree.fromstring(add("apply b' <- c.", 17))
    assert read.get("val") == "Add"
    assert [e.text for e in read.iter("string")] == ["apply b' <- c."]
    assert [e.get("val") for e in read.iter("state_id")] == ["17"]
    assert [e.text for e in read.iter("int")] == ["-1", "0", "0", "0"]
    assert flat(read) == "apply b' <- c.-1000"


def test_what_is_no_xml_is_an_error() -> None:
    with pytest.raises(ElementTree.ParseError):
        list(Reader().feed(b'<value val="good">\x01</value>'))
