"""`tbgen run`: a model's answers without Triton, from the files of its repository, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tbgen.cli.asked import Asked, asked_options
from tbgen.cli.options import json_option, quiet_option, repository_option
from tbgen.cli.show import notes, print_answers, said_late
from tbgen.cli.suggested import completed


@click.command()
@click.argument("name")
@asked_options
@repository_option()
@json_option
@quiet_option
def run(name: str, repository: Path, **asked: Any) -> None:
    """What runs are the very files of the repository: model.py, its steps, the wiring of ensembles, BLS calls; engines
    by onnxruntime. Breakpoints in them work. NAME, inputs and answers are as those of `tbgen infer`.
    """
    from tbgen.export.errors import UserError
    from tbgen.generator.local.models import LocalModels
    from tbgen.generator.local.twin import STANDS_FOR_FILE
    from tbgen.generator.steps.failure import failure, is_own_failure
    from tbgen.server.client.client import front_model

    question = Asked(**asked)
    with LocalModels(repository) as models:
        model = front_model(models, name)
        models.check_packages(model)
        answers = question.answers(models, model, batches=False)
        try:
            with said_late(f"Running {name} without Triton"), completed([str(repository)], command="tbgen check"):
                print_answers(answers, every=bool(question.parameters))
        except Exception as error:  # a person's own model.py raises what it likes
            if isinstance(error, UserError) or not is_own_failure(error):
                raise
            raise UserError(f"the model's own code fails: {failure(error)}") from error
        if models.stood_for:
            notes().print(f"{', '.join(models.stood_for)}: {STANDS_FOR_FILE}", style="yellow")
