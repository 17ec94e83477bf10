"""Schema changes of approver.db, run by `store.Store.open` when the file is behind."""
