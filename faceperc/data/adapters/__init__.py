"""The field's public data sets in their authors' layouts, one file each."""

from faceperc.data.adapters.affectnet import AffectNet
from faceperc.data.adapters.aflw2000 import AFLW2000
from faceperc.data.adapters.biwi import BIWI
from faceperc.data.adapters.celeba import CelebA
from faceperc.data.adapters.celebamask_hq import CelebAMaskHQ
from faceperc.data.adapters.cofw import COFW
from faceperc.data.adapters.fairface import FairFace
from faceperc.data.adapters.fer2013 import Fer2013, Fer2013Folders
from faceperc.data.adapters.ferplus import FerPlus
from faceperc.data.adapters.helen import Helen
from faceperc.data.adapters.lapa import LaPa
from faceperc.data.adapters.pointing04 import Pointing04
from faceperc.data.adapters.raf_db import RAFDB
from faceperc.data.adapters.utkface import UTKFace
from faceperc.data.adapters.w300 import W300
from faceperc.data.adapters.w300lp import W300LP
from faceperc.data.adapters.wflw import WFLW
from faceperc.data.folder import FolderSource

#: Command-line name -> class.
ADAPTERS: dict[str, type[FolderSource]] = {
    adapter.name: adapter
    for adapter in (
        AffectNet,
        AFLW2000,
        BIWI,
        CelebA,
        CelebAMaskHQ,
        COFW,
        FairFace,
        Fer2013,
        Fer2013Folders,
        FerPlus,
        Helen,
        LaPa,
        Pointing04,
        RAFDB,
        UTKFace,
        W300,
        W300LP,
        WFLW,
    )
}

__all__ = ["ADAPTERS", *(adapter.__name__ for adapter in ADAPTERS.values())]
