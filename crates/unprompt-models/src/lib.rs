//! The networks: configuration, layers and forward pass, one file a model.
