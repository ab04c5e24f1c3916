"""What is remembered of machines that had an image lately."""

from squall_scheduler.whereabouts import MOST_THINGS, RUNNERS_EACH, Whereabouts


def test_a_lost_runner_has_nothing() -> None:
    known = Whereabouts()
    known.used("rn-1", ("image", "volume"))
    known.used("rn-2", ("image",))
    known.lost("rn-1")
    assert {thing: list(runners) for thing, runners in known.known.items()} == {"image": ["rn-2"]}


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    known = Whereabouts()
    for number in range(RUNNERS_EACH + 1):
        known.used(f"rn-{number}", ("image",))
    assert len(known.known["image"]) == RUNNERS_EACH
    assert "rn-0" not in known.known["image"]
    for number in range(MOST_THINGS):
        known.used("rn-1", (f"image-{number}",))
    assert len(known.known) == MOST_THINGS
    assert "image" not in known.known
