"""Tests of `tuner.pipelines`; reports of wrong pictures import the tiny pipelines from here."""

from tests.helpers.pipelines import new as new
from tests.helpers.pipelines import pictures as pictures
