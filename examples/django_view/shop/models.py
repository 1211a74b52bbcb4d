"""What is kept: orders, and letters to those who gave them."""

from django.db import models


class Order(models.Model):
    """An order, with the carrier that was chosen for it."""

    amount = models.PositiveIntegerField()
    city = models.CharField(max_length=80)
    carrier = models.CharField(max_length=80, blank=True)

    def __str__(self) -> str:
        return f"{self.amount} to {self.city} by {self.carrier or 'nobody yet'}"


class Letter(models.Model):
    """A letter, which is written when the order is sure."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE)
    text = models.TextField()

    def __str__(self) -> str:
        return str(self.text)
