"""One thread, for a while."""

import torch

from featurize.threads import one_thread


def test_a_process_computes_on_one_thread_and_gives_the_others_back() -> None:
    n_before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_before)
