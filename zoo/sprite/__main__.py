"""`python -m zoo.sprite --folder WORK`: the whole recipe, or the stages named; each resumes where it stopped.

`train` learns to paint at one rate and may be stopped anywhere; `cool` then brings the rate down; `autoencoder` and
`learn-judge` train the decoder and the classifier; `sheet` draws what was learnt, `judge` measures it, and `export`
writes the pipeline's folder.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from zoo.sprite import (
    autoencoder,
    captions,
    export,
    judge,
    latents,
    packages,
    sampling,
    scenes,
    sheet,
    train,
    verdict,
    views,
)

STAGES = ["train", "cool", "autoencoder", "learn-judge", "sheet", "judge", "export"]


def main() -> None:
    """Run the stages asked for, in order."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    packages.fetch(args.folder / "data")
    draw = scenes.Draw(views.build(args.folder, args.folder / "data"))
    basis = latents.kept(args.folder / "basis.pt", draw)
    for stage in args.stages or STAGES:
        _run(stage, args, draw, basis)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m zoo.sprite", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; all when none is named")
    parser.add_argument("--folder", type=Path, required=True, help="downloads, checkpoints, logs and sheets go here")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop each training stage after so long")
    parser.add_argument("--train-steps", type=int, default=train.STEPS)
    parser.add_argument("--cool-steps", type=int, default=train.COOLING)
    parser.add_argument("--autoencoder-steps", type=int, default=autoencoder.STEPS)
    parser.add_argument("--judge-steps", type=int, default=judge.STEPS)
    parser.add_argument("--guidance", type=float, default=2.0, help="of the pictures on the sheet and before the judge")
    parser.add_argument("--out", type=Path, help="folder of the exported pipeline; FOLDER/export when absent")
    args = parser.parse_args()
    if unknown := set(args.stages) - set(STAGES):
        parser.error(f"stages {sorted(unknown)} do not exist; choose of {STAGES}")
    return args


def _run(stage: str, args: argparse.Namespace, draw: scenes.Draw, basis: latents.Basis) -> None:
    plan = train.Plan(steps=args.train_steps, cooling=args.cool_steps, minutes=args.minutes)
    if stage == "train":
        train.train(args.folder, draw, basis, plan)
    elif stage == "cool":
        train.cool(args.folder, draw, basis, plan)
    elif stage == "autoencoder":
        autoencoder.train(args.folder, draw, basis, args.autoencoder_steps, args.minutes)
    elif stage == "learn-judge":
        judge.learn(args.folder, draw.bank, args.judge_steps, args.minutes)
    elif stage == "sheet":
        _sheet(args, draw, basis)
    elif stage == "judge":
        _judge(args, draw, basis)
    else:
        out = args.out or args.folder / "export"
        print(f"exported bytes: {export.export(args.folder, captions.vocabulary(draw.bank.subjects), out)}")


def _paint(args: argparse.Namespace, draw: scenes.Draw, basis: latents.Basis, texts: list[str]) -> torch.Tensor:
    """Pictures in [0, 1], (n, 3, 128, 128), by the averaged weights; by the linear map while there is no decoder."""
    painter = export.painter(args.folder, captions.vocabulary(draw.bank.subjects))
    codes = [
        sampling.paint(painter, texts[place : place + 25], guidance=args.guidance, seed=place)
        for place in range(0, len(texts), 25)
    ]
    if not (args.folder / "autoencoder.pt").exists():
        return basis.lift(torch.cat(codes)) / 2 + 0.5
    return export.decode(export.decoder(args.folder), torch.cat(codes))


def _sheet(args: argparse.Namespace, draw: scenes.Draw, basis: latents.Basis) -> None:
    asked = sheet.items(draw.bank.subjects)
    pictures = _paint(args, draw, basis, [item.text for item in asked])
    sheet.draw(pictures, [item.text for item in asked], args.folder / "sprite-sheet.png")
    sheet.image(pictures[0]).resize((512, 512)).save(args.folder / "fox.png", optimize=True)
    sheet.curves(args.folder, args.folder / "sprite-curves.png")
    right = [item.colour == found for item, found in zip(asked, sheet.backgrounds(pictures), strict=True)]
    print(f"backgrounds right: {sum(right) / len(right):.0%}")


def _judge(args: argparse.Namespace, draw: scenes.Draw, basis: latents.Basis) -> None:
    pictures = _paint(args, draw, basis, verdict.prompts(draw))
    found = dataclasses.asdict(verdict.reach(draw, judge.load(args.folder, draw.bank), pictures))
    (args.folder / "verdict.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in found.items() if name != "missed"}, indent=2))


if __name__ == "__main__":
    main()
