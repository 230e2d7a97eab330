"""The names of models, and which ones a benchmark has."""

from vaebench.pipeline.key import ModelKey, by_dimension, first_of_each, sweep


def test_a_model_is_named_alike_everywhere() -> None:
    key = ModelKey(10, 2)
    assert (str(key), key.item, key.title) == ("d10-s2", "10-2", "dimension 10, seed 2")
    assert key.params() == {"latent_dim": 10, "seed": 2}


def test_sweep_has_each_dimension_once_by_rising_number_and_seeds_as_they_stand() -> None:
    keys = sweep([2, 30, 5, 2], [4, 1])
    assert keys == [ModelKey(each, seed) for each in (2, 5, 30) for seed in (4, 1)]
    assert [key.seed for key in first_of_each(keys)] == [4, 4, 4]
    assert by_dimension(dict(zip(keys, "abcdef", strict=True))) == {
        2: ["a", "b"],
        5: ["c", "d"],
        30: ["e", "f"],
    }
