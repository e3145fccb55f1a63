//! `lamina networks`.

use crate::support::Sandbox;
use crate::transcript;

#[test]
fn every_network_is_listed_with_its_size() {
    transcript!(Sandbox::new().lamina("networks"), @r#"
    $ lamina networks
    exit code 0
    --- stdout
    network       parameters, training   inference  sizes in multiples of  paper
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    bpnet-s3-w32             5,134,812   5,105,091                      1  Nie, Xue, Ren. Bidirectional Pyramid Networks for Semantic Segmentation. ACCV 2020
    bpnet-s3                11,541,220  11,475,931                      1  Nie, Xue, Ren. Bidirectional Pyramid Networks for Semantic Segmentation. ACCV 2020
    bpnet-s4                39,437,255  39,350,203                      1  Nie, Xue, Ren. Bidirectional Pyramid Networks for Semantic Segmentation. ACCV 2020
    eseg-lite-s              3,591,927   3,591,927                      1  Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for Semantic Segmentation. 2022, arXiv:2203.12683
    eseg-lite-m              9,739,740   9,739,740                      1  Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for Semantic Segmentation. 2022, arXiv:2203.12683
    eseg-lite-l             28,399,537  28,399,537                      1  Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for Semantic Segmentation. 2022, arXiv:2203.12683
    eseg-s                   6,860,547   6,860,547                      1  Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for Semantic Segmentation. 2022, arXiv:2203.12683
    eseg-m                  19,994,125  19,994,125                      1  Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for Semantic Segmentation. 2022, arXiv:2203.12683
    eseg-l                  70,496,247  70,496,247                      1  Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for Semantic Segmentation. 2022, arXiv:2203.12683
    bisenet-v2               5,231,487   3,358,627                      1  Yu, Gao, Wang, Yu, Shen, Sang. BiSeNet V2. IJCV 2021, arXiv:2004.02147
    bisenet-v2-l            19,689,487  17,540,147                      1  Yu, Gao, Wang, Yu, Shen, Sang. BiSeNet V2. IJCV 2021, arXiv:2004.02147
    stdc1-seg               12,048,928   8,275,104                      1  Fan, Lai, Huang, Wei, Chai, Luo, Wei. Rethinking BiSeNet For Real-time Semantic Segmentation (STDC). CVPR 2021, arXiv:2104.13188
    stdc2-seg               16,079,392  12,305,568                      1  Fan, Lai, Huang, Wei, Chai, Luo, Wei. Rethinking BiSeNet For Real-time Semantic Segmentation (STDC). CVPR 2021, arXiv:2104.13188
    stdc1-cls                8,443,552   8,441,504                      1  Fan, Lai, Huang, Wei, Chai, Luo, Wei. Rethinking BiSeNet For Real-time Semantic Segmentation (STDC). CVPR 2021, arXiv:2104.13188
    stdc2-cls               12,474,016  12,471,968                      1  Fan, Lai, Huang, Wei, Chai, Luo, Wei. Rethinking BiSeNet For Real-time Semantic Segmentation (STDC). CVPR 2021, arXiv:2104.13188
    unet                    31,038,803  31,038,803                     16  Ronneberger, Fischer, Brox. U-Net. MICCAI 2015, arXiv:1505.04597
    "#);
}

#[test]
fn machines_get_the_same_list() {
    let entries = Sandbox::new().lamina("networks --json").exits(0).json();
    for entry in entries.as_array().unwrap() {
        assert!(entry["name"].is_string() && entry["paper"].is_string(), "{entry}");
        assert!(entry["params_inference"].as_u64().unwrap() > 0, "{entry}");
    }
}
