from pathlib import Path

import pytest

from olvf_assets.intake.landing.institution_file import InstitutionFileError, read_institution


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "institution.toml").write_text(text)
    return folder


def test_an_institution_is_read_with_its_folder_as_key(tmp_path: Path) -> None:
    folder = written(tmp_path / "city_hospital", 'name = "City"\nrole = "external"\ncountry = "Japan"\n')
    institution = read_institution(folder)
    assert (institution.key, institution.name, institution.role) == ("city_hospital", "City", "external")
    assert (institution.country, institution.note) == ("Japan", None)


def test_results_go_back_only_where_the_file_says_so(tmp_path: Path) -> None:
    said = 'name = "City"\nrole = "external"\n'
    assert not read_institution(written(tmp_path / "city", said)).results_back
    assert not read_institution(written(tmp_path / "city", f"{said}results_back = false\n")).results_back
    assert read_institution(written(tmp_path / "city", f"{said}results_back = true\n")).results_back


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "A"\nrole = "validation"\n', 'this role is unknown; write role = "external"'),
        ('name = "A"\n', "role is missing"),
        ('name = "A"\nrole = "external"\nroll = "x"\n', "unknown key roll; allowed are name, role, country"),
        ("name = A\n", "not valid TOML"),
        ('name = ""\nrole = "external"\n', "name must be a text in quotes"),
        (
            'name = "A"\nrole = "external"\nresults_back = "true"\n',
            "results_back must be true or false, without",
        ),
        ('name = "A"\nrole = "external"\nresults_back = 1\n', "results_back must be true or false, without"),
        ('name = "A"\nrole = "external"\nresult_back = true\n', "unknown key result_back; allowed are name, role"),
        ('name = true\nrole = "external"\n', "name must be a text in quotes"),
    ],
)
def test_a_wrong_institution_file_is_an_error_that_says_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InstitutionFileError) as error:
        read_institution(written(tmp_path / "institution_9", text))
    assert said in str(error.value)
    assert "institution.toml" in str(error.value)


def test_a_missing_institution_file_and_an_unusable_folder_name_say_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "institution_9").mkdir()
    with pytest.raises(InstitutionFileError, match=r'is missing; write it with two lines: name = "Our hospital"'):
        read_institution(tmp_path / "institution_9")
    with pytest.raises(InstitutionFileError, match="rename it, for example to 'st_mary_s'"):
        read_institution(written(tmp_path / "St. Mary's", 'name = "A"\nrole = "external"\n'))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp932"])
def test_an_institution_file_is_read_in_the_encodings_of_sheets(tmp_path: Path, encoding: str) -> None:
    folder = written(tmp_path / "institution_9", "")
    (folder / "institution.toml").write_bytes('name = "市立病院"\nrole = "external"\n'.encode(encoding))
    assert read_institution(folder).name == "市立病院"


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "name = " + "9" * 5000, 'name = "A"\nname = "Yamada"\n', "\0"])
def test_what_is_no_toml_is_a_named_error_that_repeats_nothing(tmp_path: Path, text: str) -> None:
    with pytest.raises(InstitutionFileError, match=r"not valid TOML|is no text") as error:
        read_institution(written(tmp_path / "institution_9", text))
    assert "Yamada" not in str(error.value)


def test_films_of_a_public_collection_say_which_and_on_what_terms(tmp_path: Path) -> None:
    said = 'name = "B"\nrole = "external"\ncollection = "Some Films 1.0"\nlicence = "CC BY 4.0"\n'
    institution = read_institution(written(tmp_path / "b", said))
    assert (institution.collection, institution.licence) == ("Some Films 1.0", "CC BY 4.0")
