from types import SimpleNamespace

import pytest
from small_notebooks import write_notebook

from nkhcc_helpers.run import plan as plan_module
from nkhcc_helpers.run.parameters import _OPTIONS, RESERVED, ParameterError, read_parameters
from nkhcc_helpers.run.plan import NotebookError, list_notebooks, locate_notebooks, name_part, plan_run


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Folder that stands for the project's notebooks."""
    folder = tmp_path / "own"
    for name in ("01_cohort", "02_survival", "02_survival_again"):
        write_notebook(folder / f"{name}.ipynb")
    monkeypatch.setattr(plan_module, "locate_notebooks", lambda: folder)
    return folder


def test_all_of_the_project_by_default(own):
    assert list(list_notebooks()) == ["01_cohort", "02_survival", "02_survival_again"]
    assert list_notebooks()["01_cohort"] == own / "01_cohort.ipynb"


def test_by_name_by_start_and_by_path(own, tmp_path, monkeypatch):
    other = write_notebook(tmp_path / "mine" / "other.ipynb")
    monkeypatch.chdir(tmp_path)
    found = list_notebooks(["02_survival", "mine/other.ipynb", "01", str(other)])
    assert list(found) == ["02_survival", "other", "01_cohort"]
    assert list(found.values()) == [own / "02_survival.ipynb", other, own / "01_cohort.ipynb"]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("02", "^02: ambiguous between 02_survival and 02_survival_again; give more of the name$"),
        ("0", "^0: ambiguous between 01_cohort, 02_survival and 02_survival_again; give more of the name$"),
        ("02_survivl", "no such notebook; did you mean '02_survival'. there are 01_cohort, 02_survival"),
        ("zzz", "zzz: no such notebook; there are"),
        ("zzz.ipynb", "zzz.ipynb: no such notebook"),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused(name, message):
    with pytest.raises(NotebookError, match=message):
        list_notebooks([name])


@pytest.mark.usefixtures("own")
def test_two_notebooks_of_one_name_are_refused(tmp_path):
    other = write_notebook(tmp_path / "01_cohort.ipynb")
    with pytest.raises(NotebookError, match="two notebooks have this name"):
        list_notebooks(["01", str(other)])


def test_without_notebooks_the_error_says_where_none_are(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_module, "locate_notebooks", lambda: tmp_path)
    with pytest.raises(NotebookError, match=f"no notebooks in {tmp_path}"):
        list_notebooks()


def test_checkout_comes_before_the_installed_package(monkeypatch, tmp_path):
    monkeypatch.setattr(plan_module, "locate_checkout", lambda: tmp_path)
    assert locate_notebooks() == tmp_path / "notebooks"
    monkeypatch.setattr(plan_module, "locate_checkout", lambda: None)
    assert locate_notebooks().parts[-3:] == ("nkhcc_helpers", "bundled", "notebooks")


@pytest.mark.usefixtures("own")
def test_plan_holds_given_and_default_values():
    plans = plan_run(["01", "02_survival"], [("endpoint", "OS"), ("landmarks", "[3]")])
    assert [plan.name for plan in plans] == ["01_cohort", "02_survival"]
    assert plans[0].values == {"endpoint": "OS", "landmarks": [3]}
    assert plans[0].effective == {
        "endpoint": "OS",
        "landmarks": [3],
        "n_draws": 1000,
        "conf_level": 0.95,
        "show_all": False,
    }


def test_data_cannot_be_given_to_a_notebook_without_the_parameter(tmp_path):
    path = str(write_notebook(tmp_path / "fixed.ipynb", parameters=""))
    assert plan_run([path])[0].effective == {}
    with pytest.raises(ParameterError, match="fixed: has no parameter data_dir"):
        plan_run([path], data_given=True)


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ([], ""),
        (["02_survival_again", "01", "02_survival"], ""),
        (["01"], "01"),
        (["02_survival", "01"], "02-01"),
        (["mine/02_other.ipynb"], "02_other"),
        (["01", "mine/02_other.ipynb"], "01-02_other"),
        (["01", "02_survival", "02_survival_again", "mine/02_other.ipynb"], "01-02-02-02_other"),
    ],
)
@pytest.mark.usefixtures("own")
def test_a_part_of_the_notebooks_is_named_by_their_numbers(tmp_path, monkeypatch, names, part):
    write_notebook(tmp_path / "mine" / "02_other.ipynb")
    monkeypatch.chdir(tmp_path)
    assert name_part(plan_run(names)) == part


def refuse(names, *given, trial=None):
    """What is said of values that the project's own notebooks cannot take."""
    with pytest.raises(ParameterError) as caught:
        plan_run(names, given, load=(lambda: trial) if trial else None)
    return list(caught.value.problems)


TRIAL = SimpleNamespace(
    groups=["P", "L"],
    endpoint_labels={"PFS": "Progression-free survival", "OS": "Overall survival"},
    metadata=SimpleNamespace(
        baseline=[SimpleNamespace(column="AGE"), SimpleNamespace(column="SEX")],
        arms=[SimpleNamespace(dose=0.0), SimpleNamespace(dose=1.0)],
    ),
)
EVERY = "(01_cohort, 02_survival_by_group)"
TRIO = "(01_cohort, 02_survival_by_group, 03_cox_dose_frequency)"
TYPES = "must be bpcp, log-log, log or plain"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("conf_type", "bpc", f"{TYPES}, not 'bpc'; did you mean 'bpcp'? {EVERY}"),
        ("convention", "last", "must be midpoint or first, not 'last' (02_survival_by_group)"),
        ("landmarks", "[6, -1]", "may hold numbers of 0 or more, not -1 (02_survival_by_group)"),
        ("doses", "[0.5, -1]", "may hold numbers from 0 to 1e+30, not -1 (03_cox_dose_frequency)"),
        ("doses", "[half, 1]", "may hold numbers, not the text 'half' (03_cox_dose_frequency)"),
        (
            "doses",
            "0.5, 1",
            "must be a list in brackets, such as '[6, 12]', not '0.5, 1' (03_cox_dose_frequency)",
        ),
        ("n_draws", "-5", "must be 1 or more, not -5 (02_survival_by_group)"),
        ("n_draws", "0", "must be 1 or more, not 0 (02_survival_by_group)"),
        ("horizon", "-0.5", "must be 0 or more, not -0.5 (02_survival_by_group)"),
        ("axis_end", "-1", "must be 0 or more, not -1.0 (02_survival_by_group)"),
        ("grace_days", "-1", "must be 0 or more, not -1 (01_cohort)"),
        ("n_trials", "1", "must be 2 or more, not 1 (03_cox_dose_frequency)"),
        (
            "method",
            "frith",
            "must be firth or partial, not 'frith'; did you mean 'firth'? (03_cox_dose_frequency)",
        ),
        ("dlt_days", "-1", "must be from 0 to 3650 days, not -1 (04_safety)"),
        ("dlt_days", "100000", "must be from 0 to 3650 days, not 100000 (04_safety)"),
        ("dlt_excluded_terms", "[3]", "may hold text, not 3 (04_safety)"),
        ("dlt_grade", "6", "must be 1, 2, 3, 4 or 5, not 6 (04_safety)"),
        (
            "dose_coding",
            "loglog",
            "must be relative, cumulative, log2 or order, not 'loglog'; did you mean 'log2'? "
            "(03_cox_dose_frequency)",
        ),
        (
            "covariates",
            '["age"]',
            "may hold dose, infusions, cumulative or order, not 'age' (03_cox_dose_frequency)",
        ),
        (
            "covariates",
            "[group]",
            "may hold dose, infusions, cumulative or order, not 'group' (03_cox_dose_frequency)",
        ),
        (
            "covariates",
            "[]",
            "must hold at least one of dose, infusions, cumulative and order (03_cox_dose_frequency)",
        ),
        ("covariates", "[dose, dose]", "holds 'dose' twice (03_cox_dose_frequency)"),
        (
            "groups",
            "planed",
            "must be actual or planned, not 'planed'; did you mean 'planned'? (04_safety)",
        ),
    ],
)
def test_a_value_that_no_trial_allows_is_refused(name, text, problem):
    assert refuse([], (name, text)) == [f"{name}: {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("95", "must lie between 0 and 1, such as 0.95, not 95.0; did you mean 0.95?"),
        ("1", "must lie between 0 and 1, such as 0.95, not 1.0"),
        ("0", "must lie between 0 and 1, such as 0.95, not 0.0"),
    ],
)
def test_a_confidence_level_is_no_percentage(text, problem):
    assert refuse(["02"], ("conf_level", text)) == [f"conf_level: {problem} (02_survival_by_group)"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("endpoint", "OSS", f"must be PFS or OS, not 'OSS'; did you mean 'OS'? {TRIO}"),
        ("endpoint", "os", f"must be PFS or OS, not 'os'; did you mean 'OS'? {TRIO}"),
        ("variables", "[AGEE]", "may hold AGE or SEX, not 'AGEE'; did you mean 'AGE'? (01_cohort)"),
        (
            "dose_coding",
            "log2",
            "cannot be 'log2', because a group of this trial has dose 0 (03_cox_dose_frequency)",
        ),
        (
            "doses",
            "[0, 1, 2]",
            "must hold a dose for each of P and L, not 3 (03_cox_dose_frequency)",
        ),
    ],
)
def test_a_value_that_this_trial_does_not_allow_is_refused(name, text, problem):
    assert refuse(["01", "02", "03"], (name, text), trial=TRIAL) == [f"{name}: {problem}"]


def test_every_problem_is_listed_at_once():
    problems = refuse(["02"], ("endpont", "OS"), ("n_draws", "many"), ("conf_type", "bpc"), ("horizon", "-1"))
    assert [problem.split(":")[0] for problem in problems] == ["endpont", "n_draws", "conf_type", "horizon"]


def test_good_values_pass():
    given = [
        ("endpoint", "OS"),
        ("conf_level", "0.9"),
        ("conf_type", "log"),
        ("convention", "first"),
        ("landmarks", "[0, 6.5]"),
        ("n_draws", "1"),
        ("axis_end", "0"),
        ("variables", "[SEX]"),
        ("covariates", "[order]"),
        ("dose_coding", "order"),
        ("groups", "planned"),
    ]
    plans = {plan.name: plan for plan in plan_run([], given, load=lambda: TRIAL)}
    assert plans["02_survival_by_group"].changed == {
        "endpoint": "OS",
        "conf_level": 0.9,
        "conf_type": "log",
        "convention": "first",
        "landmarks": [0, 6.5],
        "n_draws": 1,
    }
    assert plans["01_cohort"].values["variables"] == ["SEX"]


def test_an_empty_endpoint_is_left_to_the_notebook():
    (plan,) = plan_run(["02"], [("endpoint", "")], load=lambda: TRIAL)
    assert plan.values["endpoint"] == ""


def test_the_trial_is_loaded_only_for_values_that_need_it():
    def load():
        raise AssertionError

    plan_run([], [("conf_level", "0.9"), ("dose_coding", "order")], load=load)
    with pytest.raises(AssertionError):
        plan_run([], [("endpoint", "OS")], load=load)


def test_a_parameter_that_means_something_else_is_not_checked(tmp_path):
    text = 'convention: str = "SI"  # units\nn_draws: str = "few"  # cards'
    path = str(write_notebook(tmp_path / "mine.ipynb", parameters=text))
    assert plan_run([path], [("convention", "imperial"), ("n_draws", "-1")])[0].values == {
        "convention": "imperial",
        "n_draws": "-1",
    }


def test_every_parameter_of_the_notebooks_is_checked():
    known = [item for path in list_notebooks().values() for item in read_parameters(path).values()]
    names = {item.name for item in known if item.kind != "bool"} - set(RESERVED)
    assert names == set(_OPTIONS)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("alpha", "5", "must lie between 0 and 1, such as 0.05, not 5.0; did you mean 0.05?"),
        ("cohorts_file", "nowhere.parquet", "must be a file that is there, not 'nowhere.parquet'"),
        ("most_censored", "-2", "must be -1 or more, not -2"),
        ("n_cohorts", "1", "must be 2 or more, not 1"),
        ("n_side", "-1", "must be 0 or more, not -1"),
        ("prior", "uniforn", "must be log_uniform or uniform, not 'uniforn'; did you mean 'uniform'?"),
        ("seed", "-1", "must be 0 or more, not -1"),
    ],
)
def test_parameters_of_compatible_cohorts_are_checked(name, value, problem):
    assert refuse(["05"], (name, value)) == [f"{name}: {problem} (05_what_the_abstract_can_tell)"]
