"""Packaging of ccpdml. Tool settings (ruff, mypy, pytest) are in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).resolve().parent
# Where the repository can be read, such as "https://host/owner/ccpdml"; None while that is nowhere
# public. A package index shows the README without the files that it links to.
PROJECT_URL = None
BESIDE = {"ccpdml.gin": "gin", "ccpdml.experiments": "experiments"}

# The one list of packages; .ci/make_requirements.py makes requirements*.txt of it. First what the
# library needs, as wide as works on either stack. fonttools comes with matplotlib, h5py with
# TensorFlow, threadpoolctl with scikit-learn.
REQUIRES = {
    "absl-py": ">=2.0",
    "gin-config": ">=0.5.0",
    "ImageHash": ">=4.3",
    "matplotlib": ">=3.8",
    "numpy": ">=1.26",
    "Pillow": ">=10.0",
    "scikit-learn": ">=1.4",
    "scipy": ">=1.11",
    "tensorboard": ">=2.15",
    "tensorflow": ">=2.15.1",
    "tqdm": ">=4.66",
}
# Then what each stack makes of it.
ABOUT = {
    "default": "Default stack: Python 3.11 - 3.13, TensorFlow 2.21, Keras 3.",
    "addons": "Addons stack: Python 3.11, TensorFlow 2.15, Keras 2, tensorflow-addons.",
}
STACKS = {
    "default": {
        "numpy": ">=2.0",
        "scikit-learn": ">=1.5",
        "scipy": ">=1.13",
        "tensorboard": ">=2.20",
        "tensorflow": "==2.21.*",
    },
    # tensorflow-addons ends at TF 2.15, which needs NumPy 1 and an ml-dtypes that onnx 1.19 and
    # later cannot use; TensorBoard 2.15 needs pkg_resources, which setuptools 81 no longer has.
    "addons": {
        "numpy": ">=1.26,<2",
        "onnx": ">=1.16,<1.19",
        "setuptools": "<81",
        "tensorboard": ">=2.15,<2.16",
        "tensorflow": "==2.15.1",
        "tensorflow-addons": "==0.23.0",
    },
}
# ONNX files of a trained encoder, and LiteRT, which checks TFLite files. One version of LiteRT is
# for both stacks: it runs what the converters of TF 2.15 and of TF 2.21 write.
EXPORT = {
    "ai-edge-litert": ">=2.3,<2.4",
    "onnx": ">=1.16",
    "onnxruntime": ">=1.17",
    "tf2onnx": ">=1.16",
}
# Foundation models, on the default stack. It brings TensorFlow Text and tokenizers, about 270 MB.
HUB = {"keras-hub": ">=0.32,<0.33"}
# Approximate indices of embeddings.
INDEX = {"faiss-cpu": ">=1.9", "usearch": ">=2.16"}
# A vector database; the page about it is run on the default stack.
DATABASE = {"lancedb": ">=0.40"}
# The example of a server, examples/serve.py; httpx2 is the client that tests it.
SERVE = {"fastapi": ">=0.115", "uvicorn": ">=0.30"}
# The example of a search of settings, examples/search.py; it is run on the default stack.
SEARCH = {"optuna": ">=4.0"}
EXTRAS = {
    "addons": STACKS["addons"],
    "export": EXPORT,
    # Encoders on the Hugging Face Hub; Keras 3 only.
    "huggingface": {"huggingface_hub": ">=0.23"},
    "hub": HUB,
    "index": INDEX,
    "database": DATABASE,
    # TF 2.21 with Keras 2 (TF_USE_LEGACY_KERAS=1).
    "legacy": {"tensorflow": "==2.21.*", "tf-keras": "==2.21.*"},
    # Trackers of experiments.
    "mlflow": {"mlflow-skinny": ">=3.0"},
    "wandb": {"wandb": ">=0.20"},
    "search": SEARCH,
    "serve": SERVE,
    # pytest-xdist: two workers, two cores. setuptools: builds the wheel that the tests inspect.
    "dev": {
        **EXPORT,
        **INDEX,
        **SERVE,
        "httpx2": ">=2.0",
        "mypy": ">=2.4,<2.5",
        "pytest": ">=8.0",
        "pytest-xdist": ">=3.5",
        "ruff": ">=0.17,<0.18",
        "setuptools": ">=70.1,<81",
    },
    "coverage": {"pytest-cov": ">=7.0"},
    "site": {"mkdocs-material": ">=9.6"},
    "release": {"build": ">=1.2", "twine": ">=6.1"},
}


def requirements(packages):
    """Packages and their ranges as pip reads them, in alphabetical order."""
    return [name + packages[name] for name in sorted(packages, key=str.lower)]


def read_version():
    """Reads the version without importing the package, which would need TensorFlow."""
    text = (ROOT / "ccpdml" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE).group(1)


def for_index(readme, url):
    """The README as a package index can show it, which has no other file of the repository.

    Args:
        readme: Markdown with links and images relative to the root of the repository, str.
        url: of the repository, to whose files they then lead. None leaves of a link its text, and
            leaves an image out with the caption in italics below it.
    """

    def absolute(match):
        mark, text, path = match.groups()
        if url is None:
            return text
        return f"{mark}[{text}]({url}/{'raw' if mark else 'blob'}/HEAD/{path})"

    if url is None:
        readme = re.sub(r"^!\[[^\]]*\]\([^)]+\)\n\n\*[^*]+\*\n\n", "", readme, flags=re.MULTILINE)
    return re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)", absolute, readme)


if __name__ == "__main__":
    setup(
        name="ccpdml",
        version=read_version(),
        description="Deep metric learning with chance constraints, in TensorFlow and Keras",
        url=PROJECT_URL,
        long_description=for_index((ROOT / "README.md").read_text(encoding="utf-8"), PROJECT_URL),
        long_description_content_type="text/markdown",
        author="the ccpdml authors",
        license="MIT",
        python_requires=">=3.11",
        # Only ccpdml: namespace discovery would install the folder `gin/` over the gin library. Run
        # files and programs, which lie beside the package here, are in it when it is installed.
        packages=[*find_packages(include=["ccpdml*"]), *BESIDE],
        package_dir=BESIDE,
        package_data={
            "ccpdml": ["py.typed"],
            "ccpdml.gin": ["**/*.gin"],
            "ccpdml.reports": ["*.css", "*.csv"],
        },
        py_modules=["ccpdml_command"],
        entry_points={"console_scripts": ["ccpdml = ccpdml_command:main"]},
        install_requires=requirements(REQUIRES),
        extras_require={name: requirements(packages) for name, packages in EXTRAS.items()},
        classifiers=[
            "Programming Language :: Python :: 3.11",
            "Programming Language :: Python :: 3.12",
            "Programming Language :: Python :: 3.13",
            "Topic :: Scientific/Engineering :: Artificial Intelligence",
        ],
    )
