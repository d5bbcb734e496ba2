from config_words import namespace

from mesh_runtime.store.diff import unified


def test_a_difference_reads_like_diff_minus_u():
    assert unified(namespace(a="1"), namespace(a="2")) == (
        "--- Namespace shop (now)\n"
        "+++ Namespace shop (new)\n"
        "@@ -3,4 +3,4 @@\n"
        " metadata:\n"
        "   name: shop\n"
        "   labels:\n"
        "-    a: '1'\n"
        "+    a: '2'\n"
    )


def test_the_same_has_no_difference():
    assert unified(namespace(), namespace()) == ""
    assert unified(None, None) == ""


def test_a_new_object_and_a_deleted_one_are_compared_with_nothing():
    assert unified(None, namespace()).startswith("--- /dev/null\n+++ Namespace shop (new)\n@@ -0,0 +1,4 @@\n+api")
    assert unified(namespace(), None).startswith("--- Namespace shop (now)\n+++ /dev/null\n@@ -1,4 +0,0 @@\n-api")
