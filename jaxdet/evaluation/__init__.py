"""Metrics of LVIS, COCO and PASCAL VOC, and what runs a detector to get them."""

from jaxdet.evaluation.evaluate import check_evaluation, evaluate
from jaxdet.evaluation.evaluators import evaluate_results
from jaxdet.evaluation.predict import predict

__all__ = ['check_evaluation', 'evaluate', 'evaluate_results', 'predict']
