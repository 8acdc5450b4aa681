from datetime import date
from pathlib import Path

import pytest

from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.sheets import sheets
from olvf_assets.intake.sheets.reading import SheetError
from olvf_assets_tests.intake.samples import CONDITIONS, NAMES, READERS, SETTINGS, SUBJECTS, hospital

A1, A2 = NAMES.patient("A-1"), NAMES.patient("A-2")


def subjects_error(root: Path, text: str) -> str:
    with pytest.raises(SheetError) as error:
        sheets.subjects(hospital(root, subjects=text), NAMES, SETTINGS)
    return str(error.value)


def readers_error(root: Path, text: str) -> str:
    with pytest.raises(SheetError) as error:
        sheets.reader_labels(hospital(root, readers=text), NAMES, SETTINGS)
    return str(error.value)


def conditions_error(root: Path, text: str) -> str:
    with pytest.raises(SheetError) as error:
        sheets.film_conditions(hospital(root, conditions=text), NAMES, SETTINGS)
    return str(error.value)


def test_dates_become_intervals_and_very_high_ages_are_capped(tmp_path: Path) -> None:
    table = sheets.subjects(hospital(tmp_path), NAMES, SETTINGS)
    by_patient = {row["patient_id"]: row for row in table.iter_rows(named=True)}
    assert by_patient[A1] == {
        "institution": "institution_1", "patient_id": A1, "sex": "F", "age_years": 78,
        "film_date": NAMES.shifted("A-1", date(2019, 4, 3)),
        "onset_to_film_days": 12, "mri_delay_days": 21,
    }  # fmt: skip
    assert (by_patient[A2]["age_years"], by_patient[A2]["onset_to_film_days"]) == (90, None)
    assert by_patient[A2]["mri_delay_days"] == -2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("A-1,F,78", "A-1,D,78", "row 2, column sex: 'D' is not allowed; write one of F, M"),
        ("A-1,F,78", "A-1,F,old", "row 2, column age_years: 'old' is not a whole number from 0 to 120"),
        ("A-1,F,78", "A-1,F,780", "row 2, column age_years: '780' is not a whole number from 0 to 120"),
        ("2019-04-03", "03/04/2019", "row 2, column film_date: '##/##/####' (digits hidden) is not a date"),
        ("2019-04-03", "", "row 2, column film_date: '' (digits hidden) is not a date; write YYYY-MM-DD"),
        ("2019-04-03", "2019-02-30", "row 2, column film_date: names a day that no calendar has"),
        ("2019-03-22", "2019-05-22", "row 2, column onset_date: is -49 days before film_date"),
        ("A-2,M", "A-1,M", f"row 3, column patient_id: '{A1}' (pseudonym) stands in row 2 already"),
        ("A-2,M", ",M", "row 3, column patient_id: '' is empty"),
        ("patient_id,sex", "patient,sex", "column patient_id is missing (found: sex, age_years"),
        ("2019-04-03", "1019-04-03", "row 2, column film_date: names a year before 1900"),
        ("A-1,F,78", "A-1,F,78,79", "row 2: has 7 cells for 6 columns; is a separator too many?"),
    ],
)
def test_a_bad_subject_cell_is_named_with_row_column_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    message = subjects_error(tmp_path, SUBJECTS.replace(old, new, 1))
    assert said in message
    assert "subjects.csv" in message


def test_no_message_repeats_a_patient_s_id_or_date(tmp_path: Path) -> None:
    message = subjects_error(tmp_path, SUBJECTS.replace("A-2,M", "A-1,X").replace("2019-04-03", "2019/04/03"))
    assert "A-1" not in message
    assert "2019" not in message


def test_all_problems_of_a_sheet_come_together_at_most_twenty(tmp_path: Path) -> None:
    rows = "".join(f"B-{number},F,old,2019-04-03,,\n" for number in range(25))
    message = subjects_error(tmp_path, SUBJECTS.split("\n")[0] + "\n" + rows)
    assert "25 problems; nothing of this sheet was loaded" in message
    assert message.count("column age_years") == 20
    assert "... and 5 more" in message


def test_a_line_of_patients_without_headings_is_not_repeated(tmp_path: Path) -> None:
    message = subjects_error(tmp_path, "Yamada,F,78,2019-04-03,2019-03-22,2019-04-24\n")
    assert "row 1: no heading is known; write the headings there, among them patient_id, sex" in message
    assert "yamada" not in message.lower()


def test_numbers_that_may_be_ids_are_hidden_in_messages(tmp_path: Path) -> None:
    message = subjects_error(tmp_path, SUBJECTS.replace("A-1,F,78", "A-1,4711007,78"))
    assert "row 2, column sex: '#######' is not allowed" in message


@pytest.mark.parametrize(
    "day", ["2019/4/3", "2019.04.03", "20190403", "2019年4月3日", "２０１９/０４/０３", "2019-04-03 00:00:00"]
)
def test_dates_may_be_written_year_first_in_any_of_the_usual_ways(tmp_path: Path, day: str) -> None:
    table = sheets.subjects(hospital(tmp_path, subjects=SUBJECTS.replace("2019-04-03", day)), NAMES, SETTINGS)
    assert table.filter(patient_id=A1)["onset_to_film_days"].to_list() == [12]


def test_an_onset_may_be_called_unknown(tmp_path: Path) -> None:
    table = sheets.subjects(hospital(tmp_path, subjects=SUBJECTS.replace("2019-03-22", "不明")), NAMES, SETTINGS)
    assert table["onset_to_film_days"].null_count() == 2


def test_a_byte_order_mark_spaces_and_empty_lines_are_harmless(tmp_path: Path) -> None:
    text = "\ufeff" + SUBJECTS.replace("A-1,F", " A-1 , F").replace("\n", "\r\n") + ",,,,,\r\n\r\n"
    assert sheets.subjects(hospital(tmp_path, subjects=text), NAMES, SETTINGS).height == 2


def test_reader_labels_are_loaded_with_their_types(tmp_path: Path) -> None:
    text = READERS.replace("A-1,L2,2,1,normal,0", "A-1,L2,2,1,fresh,1") + "A-1,L2,consensus,1,fresh,1\n"
    table = sheets.reader_labels(hospital(tmp_path, readers=text), NAMES, SETTINGS)
    assert table.height == 21
    l2 = table.filter(patient_id=A1, level="L2").select("reader", "reading", "label", "pathological").rows()
    assert l2 == [("1", 1, "normal", False), ("2", 1, "fresh", True), ("consensus", 1, "fresh", True)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("L1,1,1,old", "L1,1,1,older", "row 2, column label: 'older' is not allowed; write one of normal, old, fresh"),
        ("A-1,L1,1", "A-1,L6,1", "row 2, column level: 'L6' is not allowed; write one of L1, L2, L3, L4, L5"),
        ("A-1,L1,1,1", "A-1,L1,3,1", "row 2, column reader: '3' is not allowed; write one of 1, 2, consensus"),
        ("A-1,L1,1,1", "A-1,L1,1,3", "row 2, column reading: '3' is not allowed; write one of 1, 2"),
        ("L1,1,1,old,0", "L1,1,1,old,x", "row 2, column pathological: 'x' is not allowed; write one of 0, 1"),
        ("A-1,L1,1", "B-9,L1,1", f"row 2, column patient_id: '{NAMES.patient('B-9')}' (pseudonym) is not in subjects"),
        ("A-1,L1,2,1", "A-1,L1,1,1", f"row 3: {A1} (pseudonym), L1, reader 1, reading 1 stands in row 2 already"),
    ],
)
def test_a_bad_reading_is_named_with_row_column_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    message = readers_error(tmp_path, READERS.replace(old, new, 1))
    assert said in message
    assert "readers.csv: 1 problem;" in message


def test_a_consensus_against_two_readers_who_agree_is_an_error(tmp_path: Path) -> None:
    message = readers_error(tmp_path, READERS + "A-1,L2,consensus,1,fresh,0\n")
    assert "row 22, column label: 'fresh' is the consensus although both readers said normal" in message


def test_conditions_are_loaded_and_an_empty_view_means_all(tmp_path: Path) -> None:
    text = CONDITIONS + "A-1,L3,flexion,poor_positioning,crop,\n"
    table = sheets.film_conditions(hospital(tmp_path, conditions=text), NAMES, SETTINGS)
    rows = {row[0]: row[1:] for row in table.drop("institution").iter_rows()}
    assert rows == {
        A1: ("L3", "flexion", "crop", "poor_positioning", None, None),
        A2: ("L1", None, "fracture", "severe_crush", 0.55, True),
    }


def test_a_sheet_without_conditions_gives_an_empty_table(tmp_path: Path) -> None:
    header = CONDITIONS.split("\n")[0]
    table = sheets.film_conditions(hospital(tmp_path, conditions=header), NAMES, SETTINGS)
    assert table.height == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("A-1,L1,,tired,crop,", "column condition: '*****' is not allowed; write one of severe_crush, foreign_subst"),
        ("A-1,L1,side,poor_positioning,crop,", "column view: '****' is not allowed; write one of neutral, flexion"),
        ("A-1,L1,,poor_positioning,film,", "column scope: 'film' is not allowed; write one of fracture, crop"),
        ("A-1,L1,,severe_crush,fracture,0.7", "column height_ratio: '0.7' contradicts severe_crush"),
        ("A-1,L1,,severe_crush,fracture,70%", "column height_ratio: '70%' is not a ratio"),
        ("A-2,L1,,severe_crush,fracture,0.55", "row 3: says the same as row 2; keep one of them"),
        ("C-1,L1,,severe_crush,fracture,", "(pseudonym) is not in subjects.csv"),
    ],
)
def test_a_bad_condition_is_named(tmp_path: Path, row: str, said: str) -> None:
    assert said in conditions_error(tmp_path, CONDITIONS + row + "\n")


def test_the_institution_s_row_says_name_and_role(tmp_path: Path) -> None:
    table = sheets.institutions(read_institution(hospital(tmp_path)))
    assert table.rows() == [("institution_1", "Institution 1", "development")]


@pytest.mark.parametrize("shown", ["#REF!", "#N/A", "#DIV/0!", "#NAME?", "#SPILL!", "####", "Err:502"])
def test_an_error_of_the_spreadsheet_is_no_empty_cell(tmp_path: Path, shown: str) -> None:
    folder = hospital(tmp_path, subjects=SUBJECTS.replace("2014-07-03,,", f"2014-07-03,{shown},"))
    with pytest.raises(SheetError) as error:
        sheets.subjects(folder, NAMES, SETTINGS)
    assert f"row 3, column onset_date: shows {shown}, which is an error of the spreadsheet" in str(error.value)


def test_a_day_in_the_future_is_a_typing_error(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="row 3, column film_date: lies in the future"):
        sheets.subjects(hospital(tmp_path, subjects=SUBJECTS.replace("2014-07-03", "9999-12-31")), NAMES, SETTINGS)


def test_headings_that_are_not_known_are_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SheetError) as error:
        sheets.subjects(hospital(tmp_path, subjects="sex,Yamada Taro,0004711\n"), NAMES, SETTINGS)
    assert "(found: sex)" in str(error.value)


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("43558", "looks like a day number of Excel"),
        ("R1.4.3", "outside of its era"),
        ("平成32年1月1日", "outside of its era"),
        ("昭和1年1月1日", "outside of its era"),
        ("T3.4.3", "an era before Showa"),
        ("H31.4.31", "no calendar has"),
    ],
)
def test_a_day_number_or_an_impossible_era_says_so(tmp_path: Path, day: str, said: str) -> None:
    assert said in subjects_error(tmp_path, SUBJECTS.replace("2019-04-03", day))


@pytest.mark.parametrize("day", ["平成31年4月3日", "H31.4.3", "h31/4/3", "平成31/04/03", "Ｈ３１．４．３"])
def test_days_counted_by_eras_are_read(tmp_path: Path, day: str) -> None:
    table = sheets.subjects(hospital(tmp_path, subjects=SUBJECTS.replace("2019-04-03", day)), NAMES, SETTINGS)
    assert table.filter(patient_id=A1)["onset_to_film_days"].to_list() == [12]


@pytest.mark.parametrize(("given", "meant"), [("4711", "0004711"), ("4711.0", "0004711"), ("00 04711", "0004711")])
def test_ids_that_differ_by_leading_zeros_or_spaces_get_a_hint_and_are_not_shown(
    tmp_path: Path, given: str, meant: str
) -> None:
    folder = hospital(tmp_path, subjects=SUBJECTS.replace("A-1", given), readers=READERS.replace("A-1", meant))
    with pytest.raises(SheetError, match=r"with other leading zeros, spaces or a \.0 at its end") as caught:
        sheets.reader_labels(folder, NAMES, SETTINGS)
    assert "4711" not in str(caught.value).replace(NAMES.patient(meant), "").replace(NAMES.patient(given), "")


@pytest.mark.parametrize("word", ["unknown", "Unknown", "不明"])
def test_the_day_of_a_film_may_be_called_unknown_and_not_left_out(tmp_path: Path, word: str) -> None:
    row = "A-1,F,78,2019-04-03,2019-03-22,2019-04-24"
    table = sheets.subjects(
        hospital(tmp_path / "a", subjects=SUBJECTS.replace(row, f"A-1,F,78,{word},,")), NAMES, SETTINGS
    )
    (found,) = table.filter(patient_id=NAMES.patient("A-1")).rows(named=True)
    assert [found[name] for name in ("film_date", "onset_to_film_days", "mri_delay_days")] == [None, None, None]
    assert (found["age_years"], found["sex"]) == (78, "F")
    with pytest.raises(SheetError, match="is not a date"):
        sheets.subjects(hospital(tmp_path / "b", subjects=SUBJECTS.replace(row, "A-1,F,78,,,")), NAMES, SETTINGS)
    text = SUBJECTS.replace(row, f"A-1,F,78,{word},2019-03-22,")
    with pytest.raises(SheetError, match="leave both empty"):
        sheets.subjects(hospital(tmp_path / "c", subjects=text), NAMES, SETTINGS)
