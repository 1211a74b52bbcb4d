"""The tables of the beginning, as `manage.py makemigrations` wrote them."""

from django.db import migrations, models

KEY = {"auto_created": True, "primary_key": True, "serialize": False}


class Migration(migrations.Migration):
    """Orders, and a letter for each."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "id",
                    models.BigAutoField("ID", auto_created=True, primary_key=True, serialize=False),
                ),
                ("amount", models.PositiveIntegerField()),
                ("city", models.CharField(max_length=80)),
                ("carrier", models.CharField(blank=True, max_length=80)),
            ],
        ),
        migrations.CreateModel(
            name="Letter",
            fields=[
                (
                    "id",
                    models.BigAutoField("ID", auto_created=True, primary_key=True, serialize=False),
                ),
                ("text", models.TextField()),
                ("order", models.OneToOneField("shop.Order", models.CASCADE)),
            ],
        ),
    )
