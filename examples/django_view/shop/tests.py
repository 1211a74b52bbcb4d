"""The project's own tests: `python manage.py test`."""

from django.core.management import call_command
from django.test import TestCase, TransactionTestCase

from cano_sync.django.testing import WorkflowTestMixin

from .models import Letter, Order


class OrderTest(WorkflowTestMixin, TestCase):
    """In a transaction that is rolled back: workflows run on the test's own thread."""

    def test_an_order_gets_the_cheapest_carrier(self) -> None:
        response = self.client.post("/order", {"amount": "12", "city": "Bern"})
        self.assertEqual(response.json(), {"carriers": ["express (de)", "snail (de)"]})
        self.assertEqual(Order.objects.get().carrier, "snail (de)")

    def test_a_bad_amount_is_a_bad_request(self) -> None:
        response = self.client.post("/order", {"amount": "many"})
        self.assertEqual(response.status_code, 400)

    def test_nothing_is_saved_when_a_carrier_is_late(self) -> None:
        response = self.client.post("/order", {"amount": "90", "city": "Bern"})
        self.assertEqual(response.status_code, 504)
        self.assertFalse(Order.objects.exists())

    def test_the_letter_is_written_after_the_commit(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post("/order", {"amount": "12", "city": "Bern"})
            self.assertFalse(Letter.objects.exists())
        self.assertIn("12 to Bern by snail", Letter.objects.get().text)

    def test_no_migration_is_missing(self) -> None:
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)


class ThreadsTest(WorkflowTestMixin, TransactionTestCase):
    """With threads, as in production; a test's end waits for what it has started."""

    def test_a_late_carrier_leaves_nothing_behind(self) -> None:
        self.client.post("/order", {"amount": "12", "city": "Bern"})
        response = self.client.post("/order", {"amount": "90", "city": "Bern"})
        self.assertEqual(response.status_code, 504)
        self.assertEqual(Order.objects.count(), 1)
