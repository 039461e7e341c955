//! Joins images, models and text into predictions.
