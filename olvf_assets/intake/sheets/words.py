"""The words that hospitals use in their sheets, in English and Japanese, and the words the tables use for them.

What lives here: headings and cells that mean the same. What does not: which of them a sheet needs (`sheets`). A word
that stands in no list here is an error that names the allowed ones, never a guess. `docs/hospital_files.md` shows the
lists to users.
"""

# Letters of any case; spaces and hyphens count as underscores.
HEADINGS: dict[str, tuple[str, ...]] = {
    "patient_id": ("患者ID", "患者番号", "患者", "ID", "カルテ番号"),
    "sex": ("性別", "gender"),
    "age_years": ("年齢", "age"),
    "film_date": ("撮影日", "撮影年月日", "X線撮影日", "XP撮影日"),
    "onset_date": ("発症日", "発症年月日", "受傷日"),
    "mri_date": ("MRI撮影日", "MRI検査日", "MRI日", "MRI"),
    "level": ("椎体", "高位", "椎体高位", "レベル"),
    "reader": ("読影者", "読影医", "判定者"),
    "reading": ("読影回", "回", "回数", "何回目"),
    "label": ("判定", "診断", "分類", "骨折"),
    "pathological": ("病的骨折", "病的"),
    "view": ("撮影体位", "体位", "撮影方向"),
    "scope": ("範囲", "除外範囲"),
    "condition": ("除外理由", "理由", "状態"),
    "height_ratio": ("椎体高比", "高さ比"),
    "L1": ("第1腰椎", "第一腰椎"),
    "L2": ("第2腰椎", "第二腰椎"),
    "L3": ("第3腰椎", "第三腰椎"),
    "L4": ("第4腰椎", "第四腰椎"),
    "L5": ("第5腰椎", "第五腰椎"),
}

LEVEL_WORDS = {level: HEADINGS[level] for level in ("L1", "L2", "L3", "L4", "L5")}
YES = ("yes", "true", "はい", "あり", "有", "有り", "○", "〇")
NO = ("no", "false", "いいえ", "なし", "無", "無し", "×")

# Drawn beside the levels, to count by.
OTHER_WORDS = {
    **{f"T{number}": (f"Th{number}", f"D{number}", f"第{number}胸椎") for number in range(1, 13)},
    "S1": ("第1仙椎", "第一仙椎"),
}

WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "sex": {"F": ("female", "女", "女性"), "M": ("male", "男", "男性")},
    "level": LEVEL_WORDS,
    "vertebra": {**LEVEL_WORDS, **OTHER_WORDS},
    "reader": {
        "1": ("reader 1", "読影者1", "読影医1", "読影者A", "読影医A"),
        "2": ("reader 2", "読影者2", "読影医2", "読影者B", "読影医B"),
        "consensus": ("合議", "協議", "コンセンサス"),
    },
    "reading": {"1": ("1回目",), "2": ("2回目",)},
    "label": {
        "normal": ("正常", "骨折なし"),
        "old": ("陳旧性", "陳旧", "陳旧性骨折"),
        "fresh": ("新鮮", "新鮮骨折", "急性", "急性期"),
    },
    "pathological": {"0": NO, "1": YES},
    "view": {
        "neutral": ("中間位", "側面"),
        "flexion": ("前屈", "前屈位"),
        "extension": ("後屈", "後屈位"),
        "thoracic": ("胸椎", "胸椎側面"),
    },
    "scope": {"fracture": ("骨折", "椎体"), "crop": ("画像",)},
    "condition": {
        "severe_crush": ("高度圧潰", "高度変形"),
        "foreign_substance": ("異物", "金属"),
        "poor_positioning": ("体位不良", "ポジショニング不良"),
        "poor_image_quality": ("画質不良",),
        "onset_unknown": ("発症日不明", "発症時期不明"),
    },
}
UNKNOWN_DAY = ("unknown", "不明")


def all_words() -> set[str]:
    """Return every heading and every word of a cell that is understood."""
    columns = [HEADINGS, *WORDS.values()]
    return {*UNKNOWN_DAY, *(each for words in columns for name, others in words.items() for each in (name, *others))}


def heading(text: str) -> str:
    """Return the column that a heading stands for; the heading itself, in lower case, when none is known."""
    return _BY_HEADING.get(_key(text), _key(text))


def word(column: str, cell: str) -> str:
    """Return the word that a cell of a column stands for; the cell itself when none is known."""
    return _BY_WORD.get(column, {}).get(_key(cell), cell)


def _key(text: str) -> str:
    return "_".join(text.casefold().replace("-", " ").replace("_", " ").split())


def _by_key(words: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {_key(each): meant for meant, synonyms in words.items() for each in (meant, *synonyms)}


_BY_HEADING = _by_key(HEADINGS)
_BY_WORD = {column: _by_key(words) for column, words in WORDS.items()}
