"""Python models: files, code, steps. Triton's Python backend judges them."""

from __future__ import annotations

from tests.triton.broken.changes import add, both, edit, move, nothing, parameter, put, remove
from tests.triton.good_models import python, steps

PYTHON = {
    "other_file": (python, both(move("1/model.py", "1/main.py"), add('default_model_filename: "main.py"\n'))),
    "file_not_python": (python, both(move("1/model.py", "1/model.txt"), add('default_model_filename: "model.txt"\n'))),
    "file_with_a_dot": (
        python,
        both(move("1/model.py", "1/model.2.py"), add('default_model_filename: "model.2.py"\n')),
    ),
    "syntax_error": (python, edit("def execute(self, requests):", "def execute(self, requests)", "1/model.py")),
    "indentation": (python, edit("        self.name", "   self.name", "1/model.py")),
    "not_utf8": (python, put("1/model.py", b"# \xff\nx = 1\n")),
    "nul_byte": (python, put("1/model.py", b"x = 1\0\n")),
    "no_class": (python, edit("class TritonPythonModel", "class Model", "1/model.py")),
    "class_imported": (
        python,
        both(move("1/model.py", "1/real.py"), put("1/model.py", "from real import TritonPythonModel\n")),
    ),
    "initialize_without_args": (python, edit("initialize(self, args)", "initialize(self)", "1/model.py")),
    "no_initialize": (python, edit("def initialize(self, args)", "def begin(self, args)", "1/model.py")),
    "no_execute": (python, edit("def execute", "def run", "1/model.py")),
    "relative_import": (python, edit("import numpy", "from . import words\nimport numpy", "1/model.py")),
    "relative_import_there": (
        python,
        both(edit("import numpy", "from . import words\nimport numpy", "1/model.py"), put("1/words.py", "")),
    ),
    "sibling_with_error": (
        python,
        both(edit("import numpy", "import words\nimport numpy", "1/model.py"), put("1/words.py", "def\n")),
    ),
    "sibling_in_the_model_folder": (
        python,
        both(edit("import numpy", "import words_of\nimport numpy", "1/model.py"), put("words_of.py", "")),
    ),
    "import_of_nothing": (python, edit("import numpy", "import nowhere\nimport numpy", "1/model.py")),
    "guarded_import": (
        python,
        edit("import numpy", "try:\n    import nowhere\nexcept ImportError:\n    pass\nimport numpy", "1/model.py"),
    ),
    "completes_to_nothing": (
        python,
        add("\n    @staticmethod\n    def auto_complete_config(config):\n        config.as_dict()\n", "1/model.py"),
    ),
    "completes": (
        python,
        add("\n    @staticmethod\n    def auto_complete_config(config):\n        return config\n", "1/model.py"),
    ),
    "completes_with_self": (
        python,
        add("\n    def auto_complete_config(self, config):\n        return config\n", "1/model.py"),
    ),
    "wrong_switch": (python, parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "true")),
    "environment_missing": (python, parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/env.tar.gz")),
    "good_steps_again": (steps, nothing),
    "steps_missing": (steps, remove("1/steps.json")),
    "steps_with_comma": (steps, edit('{"mark": "!"}', '{"mark": "!",}', "1/steps.json")),
    "steps_without_list": (steps, put("1/steps.json", "{}")),
    "step_file_missing": (steps, remove("1/shout.py")),
    "step_syntax": (steps, edit("def __init__", "def  __init__(", "1/shout.py")),
    "step_class_missing": (steps, edit('"Shout"', '"Whisper"', "1/steps.json")),
    "setting_unknown": (steps, edit('"mark"', '"marks"', "1/steps.json")),
    "setting_missing": (steps, edit('{"mark": "!"}', "{}", "1/steps.json")),
    "setting_optional": (steps, edit('{"mark": "!"}', '{"mark": "!", "times": 2}', "1/steps.json")),
    "asset_missing": (steps, remove("1/words.txt")),
}

# Here the Python stub ends before it says so, and Triton 2.51 waits for it without end.
WAITING = {
    "no_model_py": (python, remove("1/model.py")),
    "other_file_unnamed": (python, move("1/model.py", "1/main.py")),
    "version_with_tail": (python, move("1", "1_old")),
    "second_version_empty": (python, put("2/README", "")),
}
