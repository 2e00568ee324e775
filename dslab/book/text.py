"""Every sentence that `dslab.book` says to a reader. No logic, so another language needs only another file."""

from __future__ import annotations

# page.start
ENVIRONMENT = "Notebook {notebook} · profile {profile} · {device} · {cores}, {threads} · seed {seed} · {versions}"
CHANGED = "Changed from the defaults: {changes}"
NOT_STARTED = "page.start(number, globals()) has not run yet. Run the cells above this one first, from the top."
NO_SPECIFICATION = (
    "page.start({notebook!r}, …) found no parameters to check. It expects a cell above it with lines such as\n"
    "    seed: int = 0  # random seed [0..2147483647]\n"
    '    device: str = "auto"  # where tensors live {{auto,cpu,cuda,mps}}\n'
    '    profile: str = "quick"  # how much to run {{smoke,quick,full}}'
)
MISSING_PARAMETER = "The parameters cell of this notebook declares no {name!r}. Every notebook has at least {required}."
NOT_ASSIGNED = "The parameter {name!r} is declared but has no value. Run the parameters cell first, then this one."
NO_DEVICE = "device={device!r} is not available on this machine. Use 'auto' or 'cpu'."
PICK = "page.pick has no value for profile {profile!r}. Give smoke=, quick= and full= (got {given})."
DTYPE = "dtype is one of auto, fp32, bf16, fp16; got {dtype!r}."

# page.weights
WEIGHTS = "Weights: {name} from {source}, SHA-256 {digest}…"
WEIGHTS_OTHER = "Not the pinned weights: claims about quality are recorded, not judged."

# page.figure and page.explore
ALT = (
    "Figure {name!r} needs alternative text: one or two sentences that tell someone who cannot see it what the eye "
    "should conclude, with its numbers. At least {least} characters; not the title again. Got {alt!r}."
)
TAKEAWAY = (
    "Figure {name!r} needs a takeaway: the one sentence to remember from it, ended by a full stop. Got {takeaway!r}."
)
NO_LABEL = (
    "Figure {name!r} has axes with data but without {what}. Say what is drawn and in which unit "
    "(ax.set_xlabel, ax.set_ylabel), or call ax.set_axis_off() where the axes mean nothing."
)
IN_WORDS = "Figure in words"
NO_FIGURE = "Explorer {name!r}: draw(…) must return a matplotlib Figure; it returned {got}."
CANNOT_DRAW = "Cannot draw this: {error}"
SAMPLE_FAILED = "Explorer {name!r}: the sample {sample} cannot be drawn: {error}"
NO_SAMPLES = "Explorer {name!r} needs samples=[{{…}}, …]: the settings shown where nothing can be moved."
BAD_SAMPLE = "Explorer {name!r}: the sample {sample} must set exactly the controls {controls}."
BAD_VALUE = "Explorer {name!r}: {control} = {value!r} is not possible; expected {expected}."
BECOMES = "becomes"
FOUND = "found"
TYPE = "type"
EVIDENCE = "evidence"
MOVE = "Move a control to redraw the figure."

# page.claim
EXPECTED = {
    ">=": "at least {low}",
    "<=": "at most {low}",
    ">": "more than {low}",
    "<": "less than {low}",
    "==": "exactly {low}",
    "in": "{low} to {high}",
}
MEASURED = "measured {measured}, expected {bound}"
CLAIM_LINE = "claim {id}"
HOLDS = "holds"
FAILS = "does not hold"
RECORDED = "recorded, not judged"
SAYS = {
    "article": "the article says it",
    "paper": "a paper says it",
    "documentation": "documentation says it",
    "us": "we say it",
}
VERDICTS = {
    "true": "true",
    "false": "false",
    "outdated": "outdated",
    "unverifiable": "cannot be verified",
}
KINDS = {
    "exact": "must hold on any machine",
    "measured": "depends on the machine",
    "documented": "settled by sources",
}
WHY_SMOKE = "profile smoke is too small to judge"
WHY_PARAMETER = "{name} is {value!r}, not its default {default!r}"
WHY_NO_WEIGHTS = "it is judged on the pinned weights, and page.weights was not called"
WHY_WEIGHTS = "it is judged on the pinned weights, and others are loaded"
WHY_OTHER_MACHINE = (
    "a ratio of times depends on the machine; the bound has a margin, but another load or processor can cross it"
)
UNKNOWN_CLAIM = "There is no claim {id!r} in data/claims.toml.{near}"
NEAR = " Did you mean {near}?"
DOCUMENTED_CLAIM = "Claim {id!r} is documented: it has a source and a date, and nothing to measure."
NOT_A_NUMBER = "Claim {id!r} needs one number; got {value!r}."
CLAIM_FAILED = "Claim {id} does not hold: measured {measured}, expected {bound}. {statement}"
UNKNOWN_DEPENDENCE = "Claim {id!r} depends on {name!r}, which is no parameter of this notebook ({names})."

# page.end
NO_CLAIMS = "This notebook measures no claims."
CLAIMS_CAPTION = "What this notebook claims, and what it measured just now"
FOOTER = "{seconds} · peak memory {memory} · {claims}"
COUNT_CLAIMS = "{held} of {judged} judged claims hold"
COUNT_RECORDED = "{recorded} recorded only"

# page.table
NO_ROWS = "page.table needs at least one row: a list of dicts, one a row. Got {got}."

# exercises
TODO = "to do"
WRONG = "not yet"
RIGHT = "right"
TODO_TEXT = "Fill in the cell above and run this one again. page.hint(…) gives the first of three hints."
WRONG_MORE = "page.hint(…) gives a hint."
RIGHT_TEXT = "Your answer passes every check."
RAISED = "{kind} in line {line} of your code, `{source}`: {message}"
RAISED_BARE = "Your code raised {kind}: {message}"
UNUSABLE = (
    "The checker could not use what your code gave it ({kind}: {message}). Compare its type and shape with the task."
)
NO_MESSAGE = "no message"
RETURNS_NONE = "Your code returned None. Is a `return` missing?"
HINT = "Hint {n} of {total}"
LAST_HINT = "That is the last hint. page.solution(…) shows one way to do it."
BAD_HINT = "Exercise {name!r} has hints 1 to {total}; got {n!r}."
SOLUTION = "One solution of “{name}” (open when you have tried)"

# the maps of notebook 00
COLUMN_NOTEBOOK = "notebook"
COLUMN_QUESTION = "it asks"
COLUMN_MINUTES = "minutes to read"
COLUMN_DIFFICULTY = "difficulty"
COLUMN_NEEDS = "know first"
COLUMN_CLAIM = "the article says"
COLUMN_VERDICT = "verdict"
COLUMN_WHY = "why"
PLANNED = " (planned)"
SOURCES = "{n} sources"
SOURCES_ONE = "1 source"
VERDICT_LETTERS = {"true": "T", "false": "F", "outdated": "O", "unverifiable": "?"}

# the self-test
ANSWER = "Answer"
WRONG_ANSWER = "no"
QUIZ_LEFT = "{left} of {total} questions left."
QUIZ_ALL_RIGHT = "All {total} right. {advice}"
QUIZ_SOME_RIGHT = "{right} of {total} right. {advice}"
