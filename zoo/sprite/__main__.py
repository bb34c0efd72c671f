"""`python -m zoo.sprite --folder WORK`: the whole recipe, or the stages named; each resumes where it stopped.

Stages: `autoencoder` and `train` learn, `sheet` draws what was learnt, `export` writes the pipeline's folder.
"""

import argparse
from pathlib import Path

import torch

from zoo.sprite import autoencoder, data, export, latents, sheet, train

STAGES = ["autoencoder", "train", "sheet", "export"]


def main() -> None:
    """Run the stages asked for, in order."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    data.fetch(args.folder / "data")
    bank = data.build_bank(args.folder / "data")
    for stage in args.stages or STAGES:
        _run(stage, args, bank)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m zoo.sprite", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all when none is named")
    parser.add_argument("--folder", type=Path, required=True, help="downloads, checkpoints, logs and sheets go here")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop each training stage after so long")
    parser.add_argument("--autoencoder-steps", type=int, default=autoencoder.STEPS)
    parser.add_argument("--train-steps", type=int, default=train.STEPS)
    parser.add_argument("--out", type=Path, help="folder of the exported pipeline; FOLDER/export when absent")
    args = parser.parse_args()
    if unknown := set(args.stages) - set(STAGES):
        parser.error(f"stages {sorted(unknown)} do not exist; choose of {STAGES}")
    return args


def _run(stage: str, args: argparse.Namespace, bank: data.Bank) -> None:
    if stage == "autoencoder":
        autoencoder.train(args.folder, bank, latents.fit(bank), args.autoencoder_steps, args.minutes)
    elif stage == "train":
        train.train(args.folder, bank, latents.fit(bank), train.Plan(steps=args.train_steps, minutes=args.minutes))
    elif stage == "sheet":
        print(f"backgrounds right: {sheet.make(args.folder, bank):.0%}")
    else:
        print(f"exported bytes: {export.export(args.folder, args.out or args.folder / 'export')}")


if __name__ == "__main__":
    main()
