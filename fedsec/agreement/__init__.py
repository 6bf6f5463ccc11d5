"""The agreement: one public document that fixes what may leave a hospital, approved by each hospital."""
