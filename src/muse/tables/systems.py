"""Which runs may stand beside the rows of a table: their settings, and the members of fusions."""

from dataclasses import dataclass, field, replace

from muse.errors import MuseError
from muse.tables.published import MODALITIES, Paper, Row, Table


@dataclass(frozen=True)
class Same:
    """Whose runs fill a row that names no system of its own, such as a submission."""

    system: str
    features: str
    retrained: bool = False  # on train and devel together


@dataclass(frozen=True)
class System:
    """A system of a paper; the keys of numbers/README.md.

    ``modalities`` is task -> target -> modality -> feature set; ``fused`` is target -> feature sets
    of the members; ``names`` is what stands for several feature sets in the rows of the paper.
    """

    experiment: str | None = None
    overrides: tuple[str, ...] = ()
    model: dict = field(default_factory=dict)
    run: dict = field(default_factory=dict)
    run_of: dict[str, dict] = field(default_factory=dict)
    personalised: bool = False
    tried: dict[str, list[str]] = field(default_factory=dict)
    reads: tuple[str, ...] = ("{}",)
    members: dict[str, list[str]] | None = None
    fused: dict[str, list[str]] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    modalities: dict[str, dict[str, dict[str, str]]] | None = None
    same_as: dict[str, Same] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    @property
    def single(self) -> bool:
        """Whether it is a model of features, not a fusion and not only quoted."""
        return bool(self.model) and self.members is None

    def words(self, task: str) -> list[str]:
        """The words of a command line that say its settings."""
        experiment = self.experiment and f"+experiment={self.experiment.format(task=task)}"
        return [*([experiment] if experiment else []), f"task={task}", *self.overrides]

    def read_of(self, features: str) -> list[str]:
        """The feature sets that it reads for those of a row."""
        sets = [one for name in features.split("+") for one in self.names.get(name, [name])]
        return [form.format(name) for form in self.reads for name in sets]


def systems_of(paper: Paper, members: str = "paper") -> dict[str, System]:
    """The systems of a paper.

    Args:
        members: of late fusions of modalities: `paper`, the feature sets that the paper names;
            `devel`, those that are best on devel.
    """
    found = {}
    for name, content in paper.settings["systems"].items():
        same = {task: Same(**whose) for task, whose in content.get("same_as", {}).items()}
        modalities = content.get("modalities")
        if modalities is not None and members == "devel":
            modalities = {}
        more = {"same_as": same, "modalities": modalities, "names": paper.settings.get("names", {})}
        found[name] = System(**content | more)
    return found


def resolved(row: Row, task: str, systems: dict[str, System]) -> tuple[Row, bool]:
    """The row whose runs fill a row, and whether they are retrained on train and devel."""
    same = systems[row.system].same_as.get(task)
    return (Row(same.system, same.features), same.retrained) if same else (row, False)


def tried(row: Row, task: str, systems: dict[str, System]) -> list[Row]:
    """The rows among whose runs that of a row is chosen: the row itself; or, where the paper names
    no features, one for each feature set that its system was tried on."""
    names = [] if row.features else systems[row.system].tried.get(task, [])
    return [replace(row, features=name) for name in names] or [row]


def feature_sets_of(row: Row, task: str, systems: dict[str, System]) -> list[str]:
    """The feature sets of a row; none where it is only quoted, or of the best of modalities."""
    row, _ = resolved(row, task, systems)
    if not row.features or systems[row.system].modalities is not None:
        return []
    return row.features.split("+")


def shown_rows(
    table: Table,
    systems: dict[str, System],
    features: list[str] | None,
    fusions: list[list[str]] | None,
) -> list[Row]:
    """The rows of a table, as published or as asked for.

    Args:
        features: feature sets, several for early fusion joined by +; one that the table does not
            have is a row for each of its systems.
        fusions: late fusions instead of the published ones: feature sets of their members.

    Raises MuseError for a fusion of feature sets that are no rows, where the table has such rows.
    """
    singles = [row for row in table.rows if systems[row.system].single]
    others = [row for row in table.rows if not systems[row.system].single]
    if features is not None:
        kinds = dict.fromkeys(row.system for row in singles)
        own = {name: [Row(kind, name, published=False) for kind in kinds] for name in features}
        singles = [row for name in features
                   for row in [r for r in singles if r.features == name] or own[name]]  # fmt: skip
        others = [row for row in others
                  if systems[row.system].modalities is not None
                  or _within(feature_sets_of(row, table.task, systems), features)]  # fmt: skip
    if fusions is None:
        return singles + others
    known = {row.features for row in singles}
    for name in (name for members in fusions for name in members):
        if known and name not in known:
            names = ", ".join(dict.fromkeys(row.features for row in singles))
            raise MuseError(f"fusions: {name} is no row of the table; it has {names}.")
    kinds = dict.fromkeys(row.system for row in table.rows if systems[row.system].members)
    asked = [Row(kind, "+".join(names), published=False) for names in fusions for kind in kinds]
    return singles + [row for row in others if not systems[row.system].members] + asked


def _within(names: list[str], features: list[str]) -> bool:
    return bool(names) and set(names) <= set(features)


def unnamed_members(table: Table, systems: dict[str, System]) -> list[str]:
    """Modalities of the table's fusions whose feature set the paper does not name, in words."""
    fused = [row for row in table.rows if systems[row.system].modalities is not None]
    return [
        f"{table.task} {target} {MODALITIES[letter]}"
        for target in table.targets
        for letter in sorted({letter for row in fused for letter in row.modalities})
        if letter not in systems[fused[0].system].modalities.get(table.task, {}).get(target, {})
    ]
