from configs.schema import Section
from tests.documentation.reference import FOLDER, PAGES, SCHEMAS


def test_the_reference_is_what_schemas_and_command_say():
    stale = [name for name, write in PAGES.items() if (FOLDER / name).read_text(encoding="utf-8") != write()]
    assert stale == [], "make docs writes them anew"


def test_every_key_says_what_it_means():
    assert [key for _, schema, _ in SCHEMAS for key in silent_keys(schema)] == []


def silent_keys(schema):
    """Return the keys below a schema without a meaning; a section of the first level has its own docstring for one."""
    tree = schema.model_json_schema()
    sections = {name: tree["$defs"][name] for name in tree.get("$defs", {})}
    assert all(section["description"] and section["description"] != Section.__doc__ for section in (tree, *sections.values()))
    silent = {
        f"{name}.{key}"
        for name, part in sections.items()
        for key, value in part["properties"].items()
        if "description" not in value
    }
    return silent | {key for key, value in tree["properties"].items() if "description" not in value and "$ref" not in value}
