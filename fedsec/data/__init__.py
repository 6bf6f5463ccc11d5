"""Rows as hospitals have them: files, schemas, data sets, and how rows are prepared for a model."""
