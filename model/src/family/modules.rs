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
    /// The norm of each query before RoPE.
    QueryNorm,
    /// The norm of each key before RoPE.
    KeyNorm,
    Output,
    /// The norm of attention's output before it is added to the residual stream.
    AfterAttention,
    Gate,
    Up,
    Down,
    /// The norm of the feed-forward part's output before it is added to the residual stream.
    AfterMlp,
}

impl LayerModule {
    pub(crate) const ALL: [Self; 13] = [
        Self::AttentionNorm,
        Self::MlpNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::QueryNorm,
        Self::KeyNorm,
        Self::Output,
        Self::AfterAttention,
        Self::Gate,
        Self::Up,
        Self::Down,
        Self::AfterMlp,
    ];
}

/// Names of the modules in one kind of file. A module's weight is `NAME.weight`, its bias `NAME.bias`; a module of layer `n` is
/// `LAYERS.n.NAME`. Names of modules that a family does not have are empty or not used.
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
    pub query_norm: &'static str,
    pub key_norm: &'static str,
    pub output: &'static str,
    pub after_attention: &'static str,
    pub mlp_norm: &'static str,
    pub gate: &'static str,
    pub up: &'static str,
    pub down: &'static str,
    pub after_mlp: &'static str,
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
            LayerModule::QueryNorm => self.query_norm,
            LayerModule::KeyNorm => self.key_norm,
            LayerModule::Output => self.output,
            LayerModule::AfterAttention => self.after_attention,
            LayerModule::Gate => self.gate,
            LayerModule::Up => self.up,
            LayerModule::Down => self.down,
            LayerModule::AfterMlp => self.after_mlp,
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
    /// Whether each query and each key has a norm.
    pub query_key_norms: bool,
    /// Whether the outputs of attention and of the feed-forward part have norms.
    pub norms_after: bool,
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
        let has = |part: &LayerModule| match part {
            LayerModule::QueryNorm | LayerModule::KeyNorm => self.query_key_norms,
            LayerModule::AfterAttention | LayerModule::AfterMlp => self.norms_after,
            _ => true,
        };
        let parts: Vec<LayerModule> = LayerModule::ALL.into_iter().filter(has).collect();
        let layers = (0..self.layers).flat_map(|layer| parts.iter().map(move |part| Module::Layer(layer, *part)));
        let head = (!self.tied).then_some(Module::Head);
        let all = std::iter::once(Module::Embedding).chain(layers).chain([Module::FinalNorm]).chain(head);
        all.map(|module| (module, self.shape(module))).collect()
    }

    /// The shape of a module's weight.
    pub(crate) fn shape(&self, module: Module) -> ModuleShape {
        let [hidden, inner, vocabulary] = [self.hidden, self.intermediate, self.vocabulary].map(u64::from);
        let [queries, keys] = [self.query_heads, self.heads].map(|heads| u64::from(heads) * u64::from(self.head_dim));
        let vector = |rows| ModuleShape { rows, columns: None, bias: false };
        let matrix = |rows, columns, bias| ModuleShape { rows, columns: Some(columns), bias };
        match module {
            Module::Embedding | Module::Head => matrix(vocabulary, hidden, false),
            Module::FinalNorm => vector(hidden),
            Module::Layer(_, part) => match part {
                LayerModule::AttentionNorm | LayerModule::MlpNorm | LayerModule::AfterAttention | LayerModule::AfterMlp => vector(hidden),
                LayerModule::QueryNorm | LayerModule::KeyNorm => vector(self.head_dim.into()),
                LayerModule::Query => matrix(queries, hidden, self.qkv_bias),
                LayerModule::Key | LayerModule::Value => matrix(keys, hidden, self.qkv_bias),
                LayerModule::Output => matrix(hidden, queries, self.output_bias),
                LayerModule::Gate | LayerModule::Up => matrix(inner, hidden, self.mlp_bias),
                LayerModule::Down => matrix(hidden, inner, self.mlp_bias),
            },
        }
    }
}
