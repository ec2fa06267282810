"""A paper, as a reference list and a BibTeX file name it."""

from __future__ import annotations

import dataclasses

__all__ = ["Reference"]


@dataclasses.dataclass(frozen=True)
class Reference:
    """One paper, and what it stands for here."""

    key: str
    authors: tuple[str, ...]
    title: str
    year: int
    where: str = ""  # journal, volume and page, or proceedings
    arxiv: str = ""
    used_for: str = ""

    @property
    def url(self) -> str:
        """Its page on arXiv, or nothing."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    def text(self) -> str:
        """One line for a reference list."""
        parts = [", ".join(self.authors), f"“{self.title}”" if self.title else "", self.where]
        parts += [f"arXiv:{self.arxiv}" if self.arxiv else "", str(self.year) if self.year else ""]
        return ", ".join(part for part in parts if part)

    def bibtex(self) -> str:
        """One BibTeX entry."""
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title}}}" if self.title else "",
            "journal" if self.where and "software" not in self.where else "note": self.where,
            "eprint": self.arxiv,
            "archivePrefix": "arXiv" if self.arxiv else "",
            "year": str(self.year) if self.year else "",
        }
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
        kind = "article" if self.where and "software" not in self.where else "misc"
        return f"@{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"
