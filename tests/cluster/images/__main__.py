"""Build the images of the test bed and print where they are.

python -m tests.cluster.images build                all images that the embedded cluster runs, as one archive
python -m tests.cluster.images operator [--out F]   the operator's image, as an archive
"""

import argparse
import shutil
import sys
from pathlib import Path

from tests.cluster.images.catalogue import archive
from tests.cluster.images.operator_image import build_operator_image
from tests.cluster.images.progress import CommandError

REPO = Path(__file__).parents[3]


def main() -> int:
    """Build what was asked for; a failed command is shown as it is, without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.images", description="Build container images.")
    parser.add_argument("what", choices=["build", "operator"])
    parser.add_argument("--out", type=Path, help="copy the archive to this file")
    arguments = parser.parse_args()
    try:
        built = archive() if arguments.what == "build" else build_operator_image(REPO)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, arguments.out)
    print(arguments.out or built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
