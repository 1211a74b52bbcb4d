"""What is in the database: suppliers with their prices, and a log of what was asked."""

from decimal import Decimal

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Of all tables."""


db = SQLAlchemy(model_class=Base)


class Supplier(Base):
    """Who sells something, and at what price."""

    __tablename__ = "supplier"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    price: Mapped[Decimal]


class Asked(Base):
    """That a supplier was asked for something."""

    __tablename__ = "asked"

    id: Mapped[int] = mapped_column(primary_key=True)
    supplier: Mapped[str]
    sku: Mapped[str]


def create_tables() -> None:
    """Make what is missing."""
    Base.metadata.create_all(db.engine)


def add_samples() -> None:
    """Three suppliers, and an empty log."""
    db.session.query(Asked).delete()
    db.session.query(Supplier).delete()
    for name, price in (("acme", "2.50"), ("bolts & co", "2.35"), ("slow motion", "1.95")):
        db.session.add(Supplier(name=name, price=Decimal(price)))
    db.session.commit()
