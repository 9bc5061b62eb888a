"""The command `navigen-generate`, `python run_generate.py`.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

from collections.abc import Sequence

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import by_name, command, command_line, refuse_torchrun, split_files
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import DRAFTS, DRAWS, PLAN_TEMPERATURE, TEMPERATURE, TOP_P

EPILOG = """\
The run is the newest finished one of these settings; without one, it is trained first, as run_navigen would:
  %(prog)s --dataset=ml-100k --n_users=5
  %(prog)s --dataset=ml-100k --users=196,186 --media=video --temperature=0 --output=instructions
  %(prog)s --run=saved/NaviGen-ml-100k-... --users=all --output=instructions
--output writes DIR/instructions.jsonl, one user a line, DIR/result.json and DIR/report.html. --held_out scores the
instructions against the items that were kept out, beside simple writers. With a model, media are made, and scored too:
  %(prog)s --n_users=50 --held_out --output=DIR --image_model=FOLDER_OR_HUB_ID --clip_model=FOLDER_OR_HUB_ID
Instructions that are written, and perhaps edited, are made into media by any model:
  %(prog)s --instructions=DIR/instructions.jsonl --output=OTHER --image_model=FOLDER_OR_HUB_ID
Somebody new, or users beside their histories, say what they like; what they kept of earlier media tells it, too:
  %(prog)s --dataset=ml-100k --preferences="slow noir, 1950s, not horror"
  %(prog)s --users=196 --feedback=DIR/feedback.jsonl
--facts=20 prints what the data set's texts say of 20 items, from which instructions are made, and ends.
All settings of media: properties/generation.yaml.
"""


def parser() -> CommandLine:
    """Return the parser of `navigen-generate`."""
    commands = command_line(
        "run_generate",
        "%(prog)s [-h] [--users all|FILE|IDS] [--n_users N] [--output DIR] [--run DIR] [--instructions FILE] "
        "[--media image|video|mixed] [--facts N] [--held_out] [--preferences TEXT] [--feedback FILE] "
        "[--no-think] [--temperature T] [--top_p P] [--drafts N] [--calibrate] [--dataset DATASET] "
        "[--config_files FILE ...] [--debug] [--key=value ...]",
        "Write a personal instruction for an image or video model for each of some users.",
        EPILOG,
    )
    commands.add_argument("--users", metavar="WHO", help="all, a file with one raw id a line, or raw ids with commas")
    commands.add_argument("--n_users", type=int, metavar="N", help="how many, in the order of the data (default: 5)")
    commands.add_argument("--output", metavar="DIR", help="where to write instructions.jsonl, result.json, report.html")
    commands.add_argument("--run", metavar="DIR", help="a finished run of NaviGen, saved/RUN; it gets a writer")
    commands.add_argument("--instructions", metavar="FILE", help="make media of the instructions in this file")
    commands.add_argument("--media", default="image", choices=("image", "video", "mixed"), help="what is to be made")
    commands.add_argument("--facts", type=int, metavar="N", help="print what is known of N items, and end")
    commands.add_argument("--held_out", action="store_true", help="keep each user's last item out, to score against it")
    commands.add_argument("--no-think", dest="think", action="store_false", help="answer without reasoning")
    commands.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help=f"0: most probable words; 1: draw (plans {PLAN_TEMPERATURE:g}, free text {TEMPERATURE:g})",
    )
    commands.add_argument(
        "--top_p", type=float, default=TOP_P, metavar="P", help="draw among words that hold this share (%(default)s)"
    )
    commands.add_argument(
        "--drafts", type=int, default=DRAFTS, metavar="N", help="write N instructions and keep the best (%(default)s)"
    )
    commands.add_argument(
        "--preferences",
        metavar="TEXT",
        help="what is liked, with commas: 'noir, not horror'; without users: of somebody new",
    )
    commands.add_argument(
        "--feedback", metavar="FILE", help="what navigen-feedback wrote: kept media tell what is liked"
    )
    commands.add_argument(
        "--calibrate", action="store_true", help="choose among the drafts so that a user's own proportions hold"
    )
    commands.add_argument("--sampling_seed", dest="seed", type=int, default=0, metavar="S", help="of the draws")
    return commands


@command
def generate(argv: Sequence[str] | None = None) -> None:
    """Run `navigen-generate`."""
    arguments, settings = parser().split(argv)
    files = split_files(arguments.config_files)
    refuse_torchrun("run_generate.py")
    from recbole_navigen.config.calls import checked
    from recbole_navigen.config.given import gather
    from recbole_navigen.config.raw_ids import asked_users
    from recbole_navigen.generation.settings import generation_settings, refuse_absent, split_generation

    if arguments.run and (arguments.dataset or arguments.config_files):
        raise InputError("--run names a finished run; leave out --dataset and --config_files")
    own, others = split_generation(settings)  # before torch is imported
    refuse_absent(generation_settings(own))
    asked_users(arguments.users, arguments.n_users)
    for name in ("temperature", "top_p", "drafts"):
        checked(name, DRAWS[name], getattr(arguments, name))
    if not arguments.run and not arguments.instructions:
        gather("NaviGen", arguments.dataset, files, argv=others)
    if arguments.facts is not None:
        if arguments.run or arguments.instructions:
            raise InputError("--facts prints items of a data set; name it by --dataset in place of a run or a file")
        from recbole_navigen.quick_start.item_facts import show_facts

        show_facts(arguments.dataset, files, argv=others, count=arguments.facts)
        return
    from recbole_navigen.quick_start.generate import run_generate

    run_generate(config_file_list=files, argv=settings, **by_name(arguments))
