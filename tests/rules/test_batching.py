"""Which pieces share a batch, and whose turn it is."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.workloads.batching import SLACK, SLACK_SHARE, Line
from mesh.workloads.contract import Piece, Turn


def pieces(*sizes: int) -> list[Piece]:
    return [Piece(None, size) for size in sizes]


def a_line(**limits: int) -> Line:
    return Line(limits.get("pieces_max", 16), limits.get("size_max", 2048))


def jobs_of(batch: object) -> list[int]:
    return sorted(taken.job for taken in batch)  # type: ignore[attr-defined]


def test_an_empty_line_gives_an_empty_batch():
    assert a_line().batch() == []


def test_small_jobs_share_a_batch():
    line = a_line()
    for job in range(20):
        line.add(job, pieces(20))
    assert jobs_of(line.batch()) == list(range(16))
    assert jobs_of(line.batch()) == [16, 17, 18, 19]
    assert len(line) == 0


def test_a_large_job_holds_a_small_one_up_by_one_batch_at_most():
    line = a_line()
    line.add(1, pieces(*[20] * 1000))
    line.batch()
    line.add(2, pieces(200))  # too different in size to share
    line.add(3, pieces(21))
    seen = [jobs_of(line.batch()) for _ in range(3)]
    assert 3 in seen[0]
    assert [2] in seen


def test_texts_of_different_length_do_not_share_a_batch():
    line = a_line()
    line.add(1, pieces(200, 20, 190, 22))
    assert [taken.piece.size for taken in line.batch()] == [200, 190]
    assert [taken.piece.size for taken in line.batch()] == [22, 20]


def test_groups_never_share_a_batch():
    line = a_line()
    for job, group in enumerate(["", "ada", "ben", "", "ada"]):
        line.add(job, pieces(20), Turn(group))
    assert [jobs_of(line.batch()) for _ in range(3)] == [[0, 3], [1, 4], [2]]


def test_the_owners_jobs_go_before_all_others_and_share_batches_with_each_other_alone():
    line = a_line()
    line.add(1, pieces(*[20] * 100))
    line.add(2, pieces(20))
    line.add(3, pieces(*[20] * 20), Turn(first=True))
    line.add(4, pieces(20), Turn(first=True))
    assert [set(jobs_of(line.batch())) for _ in range(3)] == [{3, 4}, {3}, {1, 2}]


def test_a_lane_kept_for_the_owner_takes_nothing_else():
    line = a_line()
    line.add(1, pieces(20))
    assert line.waits() and not line.waits(first_only=True)
    assert line.batch(first_only=True) == []
    line.add(2, pieces(20), Turn(first=True))
    assert line.waits(first_only=True)
    assert jobs_of(line.batch(first_only=True)) == [2]
    assert jobs_of(line.batch()) == [1]


def test_a_dropped_job_leaves_nothing_behind():
    line = a_line()
    line.add(1, pieces(*[20] * 100))
    line.add(2, pieces(20))
    line.drop(1)
    line.drop(77)
    assert jobs_of(line.batch()) == [2]
    assert len(line) == 0


def test_a_piece_over_the_size_limit_goes_alone():
    line = a_line(size_max=100)
    line.add(1, pieces(300, 300))
    assert len(line.batch()) == 1


JOBS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b"]), st.lists(st.integers(1, 300), min_size=1, max_size=40)), max_size=12
)


@given(JOBS, st.integers(1, 20), st.integers(50, 3000))
def test_every_piece_is_taken_once_within_the_limits(jobs, pieces_max, size_max):
    line = Line(pieces_max, size_max)
    for number, (group, sizes) in enumerate(jobs):
        line.add(number, pieces(*sizes), Turn(group, first=number % 3 == 0))
    taken = []
    while batch := line.batch():
        sizes = [one.piece.size for one in batch]
        assert len(batch) <= pieces_max
        assert len(batch) == 1 or len(batch) * max(sizes) <= size_max
        slack = max(SLACK, int(sizes[0] * SLACK_SHARE))
        assert all(abs(size - sizes[0]) <= slack for size in sizes)
        assert len({(jobs[one.job][0], one.job % 3 == 0) for one in batch}) == 1
        taken += [(one.job, one.place) for one in batch]
    assert sorted(taken) == [(job, place) for job, (_, sizes) in enumerate(jobs) for place in range(len(sizes))]
    assert len(line) == 0
