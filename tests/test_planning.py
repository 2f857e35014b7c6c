import pytest
from small_notebooks import write_notebook

from nkhcc_helpers import planning, trial
from nkhcc_helpers.parameters import ParameterError
from nkhcc_helpers.planning import NotebookError, list_notebooks, locate_notebooks, plan_run


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Folder that stands for the project's notebooks."""
    folder = tmp_path / "own"
    for name in ("01_cohort", "02_survival", "02_survival_again"):
        write_notebook(folder / f"{name}.ipynb")
    monkeypatch.setattr(planning, "locate_notebooks", lambda: folder)
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
        ("02", "02: fits 02_survival, 02_survival_again; there are 01_cohort"),
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
    monkeypatch.setattr(planning, "locate_notebooks", lambda: tmp_path)
    with pytest.raises(NotebookError, match=f"no notebooks in {tmp_path}"):
        list_notebooks()


def test_checkout_comes_before_the_installed_package(monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "locate_checkout", lambda: tmp_path)
    assert locate_notebooks() == tmp_path / "notebooks"
    monkeypatch.setattr(trial, "locate_checkout", lambda: None)
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
