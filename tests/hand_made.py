"""Five patients in two groups, small enough to work every answer out by hand; times in days shown in weeks.

L plans 2 infusions of dose 1, H plans 3 of dose 2; the data cut-off is 2020-12-31.

- s1, L: infused on days 7 and 21, progressed on day 70, died on day 140.
- s2, L: infused once, on day 1; died on day 35 without progression.
- s3, H: infused on days 1, 15 and 29; followed to the cut-off without an event.
- s4, H: never infused; last seen on day 14.
- s5, H: infused on days 1 and 15; progressed on day 49; last seen alive on 2020-12-25.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from trials import write_trial

from nkhcc_helpers.trial.trial import Trial, load_trial

ADSL = """\
STUDYID,USUBJID,TRT01P,AGE,STAGE
HAND,s3,H,60,A
HAND,s1,L,40,A
HAND,s2,L,50,
HAND,s4,H,,B
HAND,s5,H,70,B
"""

ADTTE = """\
USUBJID,PARAMCD,AVAL,CNSR,STARTDT
s1,PFS,70,0,2020-01-01
s1,OS,140,0,2020-01-01
s2,PFS,35,0,2020-02-01
s2,OS,35,0,2020-02-01
s3,PFS,305,1,2020-03-01
s3,OS,305,1,2020-03-01
s4,PFS,14,1,2020-04-01
s4,OS,14,1,2020-04-01
s5,PFS,49,0,2020-04-01
s5,OS,268,1,2020-04-01
"""

ADEX = """\
USUBJID,ASTDT,EXDOSE
s1,2020-01-08,1
s1,2020-01-22,1
s2,2020-02-02,1
s3,2020-03-02,2
s3,2020-03-16,2
s3,2020-03-30,2
s5,2020-04-02,2
s5,2020-04-16,2
"""

UNFLAGGED = """\
USUBJID,AEDECOD,AEBODSYS,AETOXGR,AEREL,AESER,ASTDT,AENDT,AEOUT,AEACN
s1,Fever,General,1,Y,N,2020-01-08,2020-01-08,RECOVERED/RESOLVED,DOSE NOT CHANGED
s1,Fever,General,3,Y,Y,2020-01-23,2020-01-25,RECOVERED/RESOLVED,DOSE NOT CHANGED
s1,Rash,Skin,,N,N,2020-02-01,,NOT RECOVERED/NOT RESOLVED,DOSE NOT CHANGED
s1,Cough,Chest,2,N,N,2020-01-05,2020-01-06,RECOVERED/RESOLVED,
s2,Fever,General,,Y,,,,,
s2,Sepsis,Infections,5,N,Y,2020-03-07,2020-03-07,FATAL,DRUG WITHDRAWN
s4,Fever,General,4,Y,Y,2020-04-05,2020-04-06,RECOVERED/RESOLVED,
s5,Fever,General,2,,N,2020-04-10,2020-04-11,RECOVERED/RESOLVED,DRUG INTERRUPTED
"""

# s2's sepsis began 34 days after the last infusion, later than without a flag an event is treatment-emergent.
_FLAGS = ["TRTEMFL", "Y", "Y", "Y", "N", "Y", "Y", "", "Y"]
ADAE = "".join(f"{row},{flag}\n" for row, flag in zip(UNFLAGGED.splitlines(), _FLAGS, strict=True))

METADATA = {
    "study_id": "HAND",
    "title": "A trial made by hand",
    "provenance": "illustrative",
    "time_unit": "days",
    "display_time_unit": "weeks",
    "data_cut_off": dt.date(2020, 12, 31),
    "arms": [
        {"code": "H", "label": "High", "order": 2, "infusions": 3, "dose": 2.0},
        {"code": "L", "label": "Low", "order": 1, "infusions": 2, "dose": 1.0},
    ],
    "endpoints": [
        {"code": "PFS", "label": "Progression-free survival", "role": "progression_free_survival"},
        {"code": "OS", "label": "Overall survival", "role": "overall_survival"},
    ],
    "baseline": [
        {"column": "AGE", "label": "Age", "unit": "years"},
        {
            "column": "STAGE",
            "label": "Stage",
            "kind": "categorical",
            "levels": {"C": "Advanced", "B": "Middle", "A": "Early"},
        },
    ],
}


def load_hand_made(folder: Path, **changes) -> Trial:
    """Write the trial, with other parts where `changes` name them, and load it."""
    parts = {"metadata": METADATA, "adsl": ADSL, "adtte": ADTTE, "adex": ADEX, "adae": ADAE}
    return load_trial(write_trial(folder, **{**parts, "published": None, **changes}))
