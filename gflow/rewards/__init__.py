"""Log-rewards: functions, wrappers, several scores, workers."""
