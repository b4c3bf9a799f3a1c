"""The REST skin: what callers of /api/v1 see. Arguments in, one resolver call, answer out."""
