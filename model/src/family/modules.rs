//! The modules of a decoder: their names and the shapes of their weights.

/// A module that has weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    Embedding,
    /// A module of the layer of this number.
    Layer(u32, LayerModule),
    FinalNorm,
    Head,
}

/// A module of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerModule {
    AttentionNorm,
    MlpNorm,
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl LayerModule {
    const ALL: [Self; 9] =
        [Self::AttentionNorm, Self::MlpNorm, Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];
}

/// Names of the modules in one kind of file. A module's weight is `NAME.weight`, its bias `NAME.bias`; a module of layer `n` is
/// `LAYERS.n.NAME`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ModuleNames {
    pub embedding: &'static str,
    pub final_norm: &'static str,
    pub head: &'static str,
    pub layers: &'static str,
    pub attention_norm: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub output: &'static str,
    pub mlp_norm: &'static str,
    pub gate: &'static str,
    pub up: &'static str,
    pub down: &'static str,
}

impl ModuleNames {
    /// The full name of a module.
    pub(crate) fn module(&self, module: Module) -> String {
        match module {
            Module::Embedding => self.embedding.to_owned(),
            Module::FinalNorm => self.final_norm.to_owned(),
            Module::Head => self.head.to_owned(),
            Module::Layer(layer, part) => format!("{}.{layer}.{}", self.layers, self.in_layer(part)),
        }
    }

    /// The name of a module's weight.
    pub(crate) fn weight(&self, module: Module) -> String {
        format!("{}.weight", self.module(module))
    }

    /// The name of a module's bias.
    pub(crate) fn bias(&self, module: Module) -> String {
        format!("{}.bias", self.module(module))
    }

    fn in_layer(&self, part: LayerModule) -> &'static str {
        match part {
            LayerModule::AttentionNorm => self.attention_norm,
            LayerModule::MlpNorm => self.mlp_norm,
            LayerModule::Query => self.query,
            LayerModule::Key => self.key,
            LayerModule::Value => self.value,
            LayerModule::Output => self.output,
            LayerModule::Gate => self.gate,
            LayerModule::Up => self.up,
            LayerModule::Down => self.down,
        }
    }
}

/// The numbers that determine which tensors a decoder has, and their shapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dimensions {
    pub layers: u32,
    pub hidden: u32,
    pub intermediate: u32,
    pub query_heads: u32,
    pub heads: u32,
    pub head_dim: u32,
    pub vocabulary: u32,
    pub qkv_bias: bool,
    pub output_bias: bool,
    pub mlp_bias: bool,
    /// Whether the embedding is the head.
    pub tied: bool,
}

/// The shape of a module's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModuleShape {
    pub rows: u64,
    /// `None` for a norm, whose weight is a vector.
    pub columns: Option<u64>,
    /// Whether there must be a bias, `[rows]`.
    pub bias: bool,
}

impl Dimensions {
    /// All modules in the order of a checkpoint.
    pub(crate) fn modules(&self) -> Vec<(Module, ModuleShape)> {
        let layers = (0..self.layers).flat_map(|layer| LayerModule::ALL.map(|part| Module::Layer(layer, part)));
        let head = (!self.tied).then_some(Module::Head);
        let all = std::iter::once(Module::Embedding).chain(layers).chain([Module::FinalNorm]).chain(head);
        all.map(|module| (module, self.shape(module))).collect()
    }

    /// The shape of a module's weight.
    pub(crate) fn shape(&self, module: Module) -> ModuleShape {
        let [hidden, inner, vocabulary] = [self.hidden, self.intermediate, self.vocabulary].map(u64::from);
        let [queries, keys] = [self.query_heads, self.heads].map(|heads| u64::from(heads) * u64::from(self.head_dim));
        let vector = ModuleShape { rows: hidden, columns: None, bias: false };
        let matrix = |rows, columns, bias| ModuleShape { rows, columns: Some(columns), bias };
        match module {
            Module::Embedding | Module::Head => matrix(vocabulary, hidden, false),
            Module::FinalNorm => vector,
            Module::Layer(_, part) => match part {
                LayerModule::AttentionNorm | LayerModule::MlpNorm => vector,
                LayerModule::Query => matrix(queries, hidden, self.qkv_bias),
                LayerModule::Key | LayerModule::Value => matrix(keys, hidden, self.qkv_bias),
                LayerModule::Output => matrix(hidden, queries, self.output_bias),
                LayerModule::Gate | LayerModule::Up => matrix(inner, hidden, self.mlp_bias),
                LayerModule::Down => matrix(hidden, inner, self.mlp_bias),
            },
        }
    }
}
