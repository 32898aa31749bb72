"""``python -m kaldi_recipes.demo_tdnn.train OUT``: the demo's acoustic model, from nothing."""

import argparse
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from featurize.atomic import write_bytes, write_text
from kaldi_recipes.demo_tdnn import graph, kaldi_format
from kaldi_recipes.demo_tdnn.card import model_card
from kaldi_recipes.demo_tdnn.corpus import HOP_S, MFCC_OPTIONS, N_MFCC, draw_examples, draw_text
from kaldi_recipes.demo_tdnn.evaluate import evaluate
from kaldi_recipes.demo_tdnn.lexicon import (
    PHONES,
    common_words,
    pronunciations,
    word_probabilities,
)
from kaldi_recipes.demo_tdnn.network import CONTEXT, SPLICES, SUBSAMPLING, Tdnn, TrainConfig, train
from pipelines.demo.sentences import vocabulary

DECODING = {
    "min-active": 200,
    "max-active": 2000,
    "beam": 11.0,
    "lattice-beam": 4.0,
    "acoustic-scale": 0.7,
    "frame-subsampling-factor": SUBSAMPLING,
    "endpoint.silence-phones": graph.SILENCE_PHONE,
}


def write_model(model: Tdnn, out: Path, decoding: Mapping[str, float] = DECODING) -> None:
    """Write am/ and conf/ of a Kaldi model folder."""
    transitions = kaldi_format.transition_model(graph.pdf_of_phone(len(PHONES)))
    network = kaldi_format.nnet(model.affines(), SPLICES, N_MFCC)
    write_bytes(out / "am/final.mdl", kaldi_format.acoustic_model(transitions, network, CONTEXT))
    for name, options in (("mfcc", MFCC_OPTIONS), ("model", decoding)):
        write_text(out / f"conf/{name}.conf", conf(options))


def conf(options: Mapping[str, float]) -> str:
    """Options as a Kaldi config file has them."""
    return "".join(f"--{name}={str(value).lower()}\n" for name, value in options.items())


def write_graph(out: Path, rng: np.random.Generator) -> int:
    """Write graph/ of a Kaldi model folder; returns its number of words."""
    common, demo = common_words(), vocabulary()
    probabilities = word_probabilities(common, demo)
    sentences = [draw_text(rng, common) for _ in range(1500)]
    lexicon = pronunciations(sorted(probabilities), sentences)
    word_ids = {word: i for i, word in enumerate(sorted(lexicon), start=1)}
    fst = graph.word_loop(
        {
            word: [[PHONES.index(p) for p in phones] for phones in said]
            for word, said in lexicon.items()
        },
        {word: -math.log(probabilities[word]) for word in lexicon},
        word_ids,
        silence_cost=math.log(10),
    )
    write_bytes(out / "graph/HCLG.fst", fst.to_bytes())
    symbols = {"<eps>": 0, **word_ids}
    text = "".join(f"{word} {number}\n" for word, number in symbols.items())
    write_text(out / "graph/words.txt", text)
    write_text(out / "graph/phones/word_boundary.int", graph.word_boundaries(len(PHONES)))
    return len(word_ids)


def make(out: Path, *, n_utterances: int, config: TrainConfig) -> None:
    """Synthesise, train, write the model folder, judge it, and write its README.md."""
    began_s = time.monotonic()
    rng = np.random.default_rng(config.seed)
    examples = draw_examples(n_utterances, rng)
    hours = sum(len(example.features) for example in examples) * HOP_S / 3600
    print(f"{hours:.2f} h of speech after {time.monotonic() - began_s:.0f} s", flush=True)
    model = train(examples, len(PHONES), config)
    write_model(model, out)
    n_words = write_graph(out, rng)
    figures = evaluate(out)
    settings = {
        "utterances": n_utterances,
        "epochs": config.n_epochs,
        "seed": config.seed,
        "hours": hours,
        "layers": len(SPLICES),
        "width": config.width,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "words": n_words,
    }
    write_text(out / "README.md", model_card(figures, settings))
    print(f"word error rate {figures['wer']:.1%}; {time.monotonic() - began_s:.0f} s in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the model to write")
    parser.add_argument("--utterances", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=TrainConfig.n_epochs)
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in another order would end in other weights
    config = TrainConfig(n_epochs=arguments.epochs, seed=arguments.seed)
    make(arguments.out, n_utterances=arguments.utterances, config=config)


if __name__ == "__main__":
    main()
