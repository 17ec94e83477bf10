"""The front desk: requests, people, channels. It holds no cloud power."""
